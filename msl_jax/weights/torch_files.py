"""Reads and writes `.pth` files. Reading needs no PyTorch and runs nothing; writing imports it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from msl_jax.runtime import extras
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_write, expect_plausible, expect_readable
from msl_jax.weights import torch_archive
from msl_jax.weights.pickle_vocabulary import Refused, printable
from msl_jax.weights.pickled_tensors import NotPlain, Tensor
from msl_jax.weights.torch_archive import Archive
from msl_jax.weights.wrapped import Keys, state_dict_in

# Where our description stands: PyTorch carries `_metadata` along and ignores what it does not know.
_METADATA = "msl_jax"
_ALWAYS_ALLOWED = 2**20
_ADVICE = "If you trust whoever made it, load it with PyTorch and save each tensor's clone()."

_DAMAGE = (
    *(ValueError, OverflowError, RuntimeError, OSError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None, Keys]:
    """Arrays by name, our description where `write` left one, and the keys under which they lie.

    Reads zip and legacy files, bfloat16 as that of `ml_dtypes`. The arrays may stand alone or in
    dictionaries, beside anything that is plain data.

    Raises:
        UserError: the file is damaged, names code, is no state dict, or claims more than it holds.
    """
    expect_readable(path)
    try:
        with torch_archive.opened(path) as archive:
            state_dict, keys = state_dict_in(archive.content)
            arrays = _arrays(archive, state_dict)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except Refused as error:
        raise UserError(
            f"{path}: refused. {error}; reading such a file can run code. Nothing of it was"
            " run. If you trust whoever made it, load it with PyTorch and save the network's"
            " state_dict() alone."
        ) from error
    except _DAMAGE as error:
        raise UserError(
            f"{path}: not a readable PyTorch file ({printable(str(error))}): it is truncated,"
            " damaged, of another kind, or holds more than arrays and numbers. Nothing of it was"
            " run. Fetch it again, or save the network's state_dict() alone."
        ) from error
    metadata = getattr(state_dict, "_metadata", None)
    description = metadata.get(_METADATA) if isinstance(metadata, Mapping) else None
    return arrays, description, keys


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
    with atomic_write(path) as partial:
        partial.write_bytes(buffer.getbuffer())


def _torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"{path}: PyTorch is needed to write this kind of file and is not installed. Install it"
            f" ({extras.command('convert')}; the CPU build is enough) or write .safetensors, which"
            " needs none: msl-jax convert INPUT OUTPUT.safetensors"
        ) from error
    return torch


def _arrays(archive: Archive, state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    for name, value in state_dict.items():
        if isinstance(value, NotPlain):
            raise UserError(
                f"{printable(name)} is not a plain array of numbers: it is {value.kind}"
            )
    tensors = [value for value in state_dict.values() if isinstance(value, Tensor)]
    storages = {_place(tensor): tensor.storage for tensor in tensors}
    of_tensors = sum(tensor.nbytes for tensor in tensors)
    for claimed in (of_tensors, sum(storage.nbytes for storage in storages.values())):
        expect_plausible(claimed, archive.size, _ALWAYS_ALLOWED, "", _ADVICE)
    data = {place: archive.read(storage) for place, storage in storages.items()}
    return {
        name: value.array(data[_place(value)], swap=archive.swap)
        if isinstance(value, Tensor)
        else value
        for name, value in state_dict.items()
    }


def _place(tensor: Tensor) -> tuple[str, int]:
    """By what storages differ; reading refuses two of different sizes in one place."""
    return tensor.storage.key, tensor.storage.nbytes
