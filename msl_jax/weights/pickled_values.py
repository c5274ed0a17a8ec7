"""What checkpoints keep beside their tensors: Python's containers, and NumPy's numbers and arrays.

Each name that a pickle may use for them stands here, with what is made in its place. Object arrays
and all other types that NumPy has, text among them, are refused.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from typing import Any

import numpy as np

from msl_jax.weights.pickle_vocabulary import Function, Malformed, Refused, expect_key, printable

_LATIN = ("latin1", "latin-1")


def build(made: Any, state: Any) -> None:
    """Puts its state into an object that one of the functions below has made.

    Raises:
        Malformed: the state is not one of such an object, or the object takes none.
    """
    if type(made) is OrderedDict and type(state) is dict:
        if "_metadata" in state:  # PyTorch's attribute of a state dict; nothing reads others
            made._metadata = state["_metadata"]  # type: ignore[attr-defined]
    elif isinstance(made, np.dtype) and type(state) is tuple and len(state) == 8:
        order, *fields = state[1:5]
        if type(order) is not str or order not in "<|" or fields != [None] * 3:
            raise Malformed("a NumPy type that is no plain number of a little-endian machine")
    elif type(made) is np.ndarray and type(state) is tuple and len(state) == 5:
        _, shape, dtype, columns_first, data = state
        _expect_size(data := _bytes(data), dtype, shape)
        state = (1, shape, dtype, columns_first is True, data)
        made.__setstate__(state)
    else:
        raise Malformed(f"a state for a {type(made).__name__}")


def _ordered_dict(pairs: Any = ()) -> OrderedDict[Any, Any]:
    if type(pairs) not in (list, tuple) or any(type(pair) not in (list, tuple) for pair in pairs):
        raise Malformed("an OrderedDict that is not made of pairs")
    for key, _ in pairs:
        expect_key(key)
    return OrderedDict(pairs)


def _counter(counts: Any = None) -> dict[Any, Any]:
    if counts is not None and type(counts) is not dict:
        raise Malformed("a Counter that is not made of a dict")
    return dict(counts or {})


def _set(items: Any = ()) -> set[Any]:
    if type(items) not in (list, tuple):
        raise Malformed("a set that is not made of a list")
    for item in items:
        expect_key(item)
    return set(items)


def _complex(real: Any, imaginary: Any) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise Malformed("a complex number that is not made of two numbers")
    return complex(real, imaginary)


def _encode(text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes."""
    if type(text) is not str or type(encoding) is not str or encoding not in _LATIN:
        raise Malformed("bytes that are not made of text")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _bytearray(data: Any = b"") -> bytearray:
    if type(data) is not bytes:
        raise Malformed("a bytearray that is not made of bytes")
    return bytearray(data)


def _dtype(kind: Any, align: Any = False, copy: Any = True) -> np.dtype:
    if type(kind) is not str:
        raise Malformed("a NumPy type without a name")
    if not re.fullmatch(r"[<|=]?(\?|[biufc]\d{1,2})", kind):
        raise Refused(f"It names numpy.dtype({printable(kind)!r}), which is not a safe type")
    return np.dtype(kind)


def _scalar(dtype: Any, data: Any) -> Any:
    _expect_size(data := _bytes(data), dtype, ())
    return np.frombuffer(data, dtype)[0]


def _new_array(kind: Any, shape: Any, letter: Any) -> np.ndarray:
    """An array whose shape and numbers follow by `build`."""
    if kind is not np.ndarray:
        raise Malformed("an array of another class than numpy.ndarray")
    return np.empty(0, np.uint8)


def _array_of_bytes(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """How protocol 5 writes arrays."""
    _expect_size(data := _bytes(data), dtype, shape)
    columns_first = type(order) is str and order == "F"
    return np.frombuffer(data, dtype).reshape(shape, order="F" if columns_first else "C")


def _bytes(data: Any) -> bytes:
    if type(data) is str:  # by Python 2, which has no other bytes
        return data.encode()
    if type(data) not in (bytes, bytearray):
        raise Malformed("numbers that are not stored as bytes")
    return bytes(data)


def _expect_size(data: bytes, dtype: Any, shape: Any) -> None:
    plain = isinstance(dtype, np.dtype) and type(shape) is tuple and len(shape) <= 32
    if not plain or any(type(size) is not int or size < 0 for size in shape):
        raise Malformed("a NumPy array of an impossible shape or type")
    if len(data) != dtype.itemsize * math.prod(shape):
        raise Malformed(f"a NumPy array of {len(data)} bytes, which do not fill its shape")


_OF_NUMPY = {
    "multiarray.scalar": Function(_scalar),
    "multiarray._reconstruct": Function(_new_array),
    "numeric._frombuffer": Function(_array_of_bytes),
}

NAMES: dict[str, Any] = {
    "collections.OrderedDict": Function(_ordered_dict),
    "collections.Counter": Function(_counter),
    "builtins.set": Function(_set),
    "builtins.frozenset": Function(lambda items=(): frozenset(_set(items))),
    "builtins.complex": Function(_complex),
    "builtins.bytes": Function(_no_bytes),
    "builtins.bytearray": Function(_bytearray),
    "_codecs.encode": Function(_encode),
    "numpy.dtype": Function(_dtype),
    "numpy.ndarray": np.ndarray,
    **{f"numpy.core.{name}": function for name, function in _OF_NUMPY.items()},  # before NumPy 2
    **{f"numpy._core.{name}": function for name, function in _OF_NUMPY.items()},
}
