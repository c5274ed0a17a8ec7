"""Finds the network's arrays in what a training has saved beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from msl_jax.runtime.errors import UserError
from msl_jax.weights.pickle_vocabulary import printable
from msl_jax.weights.pickled_tensors import NotPlain, Tensor
from msl_jax.weights.registry import detect

# Levels of dictionaries that are looked through, e.g. content["checkpoint"]["model"].
_DEPTH = 3
_ARRAYS = (Tensor, NotPlain, np.ndarray)

Keys = tuple[str, ...]


def state_dict_in(content: Any) -> tuple[Mapping[str, Any], Keys]:
    """The arrays by name, wherever they lie: alone, or in dictionaries, under any key.

    Of several the one is taken that is a network known here; optimizers and other networks are not.

    Returns:
        The dictionary, and the keys under which it lies.

    Raises:
        UserError: there is none, or it cannot be told which is meant; lists the choices.
    """
    found = [(keys, arrays) for keys, arrays in _dictionaries(content) if _has_arrays(arrays)]
    pure = [(keys, arrays) for keys, arrays in found if not _others(arrays)]
    candidates = pure or found
    if len(candidates) > 1:
        candidates = [(keys, arrays) for keys, arrays in candidates if _is_known(arrays)] or (
            candidates
        )
    if not candidates:
        of = f" with the keys {_some(content)}" if isinstance(content, dict) else ""
        raise UserError(
            "expected arrays by name, alone or under a key like 'state_dict'; found"
            f" {type(content).__name__}{of}"
        )
    if len(candidates) > 1:
        choices = [as_written(keys) for keys, _ in candidates]
        more = f" and {len(choices) - 10} more" if len(choices) > 10 else ""
        raise UserError(
            f"arrays by name stand in {len(choices)} places, under {', '.join(choices[:10])}{more};"
            " expected one network. Load the file with PyTorch and save the one that you mean"
            " alone."
        )
    keys, arrays = candidates[0]
    if unnamed := [name for name in arrays if type(name) is not str or not name.isprintable()]:
        raise UserError(
            f"expected arrays by name; these are not names: {', '.join(_some(unnamed))}. Save the"
            " network's state_dict() alone."
        )
    if others := _others(arrays):
        raise UserError(
            f"expected arrays by name; these are not arrays: {', '.join(_some(others))}. Save the"
            " network's state_dict() alone, or under the key 'state_dict'."
        )
    return arrays, keys


def as_written(keys: Keys) -> str:
    """Keys for a message, e.g. ``'checkpoint' 'model'``."""
    return " ".join(f"'{printable(key)}'" for key in keys) or "no key"


def _dictionaries(content: Any) -> Iterator[tuple[Keys, Mapping[Any, Any]]]:
    """All dictionaries below keys of text, each once, from the outermost on."""
    level: list[tuple[Keys, Any]] = [((), content)]
    seen: set[int] = set()
    for _ in range(_DEPTH):
        inner = []
        for keys, value in level:
            if isinstance(value, dict) and id(value) not in seen:
                seen.add(id(value))
                yield keys, value
                inner += [((*keys, key), v) for key, v in value.items() if type(key) is str]
        level = inner


def _has_arrays(values: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, _ARRAYS) for value in values.values())


def _others(values: Mapping[Any, Any]) -> list[Any]:
    return [name for name, value in values.items() if not isinstance(value, _ARRAYS)]


def _is_known(arrays: Mapping[Any, Any]) -> bool:
    try:
        detect({str(name): array.shape for name, array in arrays.items()})
    except UserError:
        return False
    return True


def _some(names: Any) -> list[str]:
    return [printable(str(name)) for name in list(names)[:10]]
