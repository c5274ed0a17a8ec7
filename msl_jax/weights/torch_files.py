"""Reads and writes `.pth` files by PyTorch, which is imported only here and only when needed.

Pickles are read with ``weights_only``: what a file may name is PyTorch's own list for tensors and
NumPy's numbers (the official checkpoints keep their best mIoU as one). Nothing else is called.
"""

from __future__ import annotations

import io
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import expect_readable, written_whole

# Where our description stands: PyTorch carries `_metadata` along and ignores what it does not know.
_METADATA = "msl_jax"


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Arrays by name, and our description where `write` left one.

    Reads zip and legacy files; the arrays may stand alone or under ``state_dict``.

    Raises:
        UserError: PyTorch is missing; the file is damaged, holds code, or is no state dict.
    """
    expect_readable(path)
    torch = _torch(path)
    content = _load(torch, path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not any(map(torch.is_tensor, content.values())):
        keys = f" with the keys {list(content)[:10]}" if isinstance(content, Mapping) else ""
        raise UserError(
            f"{path}: expected arrays by name, alone or under 'state_dict'; found"
            f" {type(content).__name__}{keys}"
        )
    others = [str(name) for name, value in content.items() if not torch.is_tensor(value)]
    if others:
        raise UserError(
            f"{path}: expected arrays by name; these are none: {', '.join(others)}. Save the"
            " network's state_dict() alone, or under the key 'state_dict'."
        )
    metadata = getattr(content, "_metadata", None)
    description = metadata.get(_METADATA) if isinstance(metadata, Mapping) else None
    arrays = {str(name): _array(torch, path, name, tensor) for name, tensor in content.items()}
    return arrays, description


def write(path: Path, state_dict: Mapping[str, np.ndarray], description: dict[str, Any]) -> None:
    """Writes a state dict without a prefix that `load_state_dict` takes, whole or not at all.

    Raises:
        UserError: PyTorch is missing.
    """
    torch = _torch(path)
    tensors = OrderedDict(
        (name, torch.from_numpy(np.array(array))) for name, array in state_dict.items()
    )
    tensors._metadata = OrderedDict({_METADATA: description})  # type: ignore[attr-defined]
    buffer = io.BytesIO()  # of a full disk PyTorch says no more than that it failed
    torch.save(tensors, buffer)
    with written_whole(path) as partial:
        partial.write_bytes(buffer.getbuffer())


def _torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path}: PyTorch is needed for this kind of file and is not installed. Install it"
            " (pip install '.[convert]'; the CPU build is enough) or convert the file to"
            " .safetensors where PyTorch is: python -m msl_jax.convert INPUT.pth OUTPUT.safetensors"
        ) from error
    return torch


def _load(torch: Any, path: Path) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numbers()):
            warnings.simplefilter("ignore")  # of foreign pickle protocols, which fail below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named or "TorchScript" in str(error):
            content = f"It names {named[1]}, which is no safe type" if named else "It is a program"
            raise UserError(
                f"{path}: refused. {content}; reading such a file can run code. Nothing of it was"
                " run. If you trust whoever made it, load it with PyTorch and save the network's"
                " state_dict() alone."
            ) from error
        raise UserError(
            f"{path}: no PyTorch file that can be read ({type(error).__name__}): it is truncated,"
            " damaged, of another kind, or holds more than arrays and numbers. Nothing of it was"
            " run. Fetch it again, or save the network's state_dict() alone."
        ) from error


def _numbers() -> list[Any]:
    """What a pickled NumPy number names, under the old and the new name of its module."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"
    return [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *(type(np.dtype(kind)) for kind in kinds),
    ]


def _array(torch: Any, path: Path, name: object, tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:  # NumPy lacks it; float32 holds its values exactly
        tensor = tensor.float()
    try:
        return tensor.numpy()
    except (TypeError, RuntimeError) as error:  # sparse, quantised, of 8 bits, without storage
        raise UserError(f"{path}: {name} is no plain array of numbers: {error}") from error
