"""What PyTorch's files say of tensors: their types and places, without a number of them.

Each name that PyTorch writes for tensors, storages and types stands here, with what is made in its
place. A tensor is a view of a storage, which lies elsewhere in the file.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ml_dtypes
import numpy as np

from msl_jax.weights.pickle_vocabulary import Function, Malformed, printable
from msl_jax.weights.pickled_values import NAMES as VALUES


@dataclasses.dataclass(frozen=True)
class Storage:
    """Where the numbers of tensors lie.

    Attributes:
        key: its name in the file.
        dtype: of its elements; one of `np.void` where NumPy has no such numbers.
        nbytes: all of it.
        start: first byte of the part that is meant; 0 but in files of PyTorch's first years.
        size: bytes of that part.
    """

    key: str
    dtype: np.dtype
    nbytes: int
    start: int
    size: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides count elements, as PyTorch's do."""

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    conjugated: bool = False
    negated: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of its elements, those that share their place counted as often as they occur."""
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self, data: np.ndarray, *, swap: bool = False) -> np.ndarray:
        """The tensor as an array, which shares the memory of the storage.

        Args:
            data: bytes of the whole storage, `[nbytes]` uint8.
            swap: whether they are in the other byte order than this machine's.
        """
        size = self.dtype.itemsize
        offset = self.storage.start + size * self.offset
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        strides = [size * stride for stride in self.strides]
        array: np.ndarray = np.ndarray(self.shape, self.dtype, data.data, offset, strides)
        if swap:
            array = array.byteswap()
        if self.conjugated:
            array = np.conj(array)
        return np.negative(array) if self.negated else array


@dataclasses.dataclass(frozen=True)
class NotPlain:
    """A tensor that is not an array of numbers that NumPy knows; `kind` says what it is."""

    kind: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Not known."""
        return ()


@dataclasses.dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype


def storage(identity: Any) -> Storage:
    """The storage of a persistent id: ("storage", type, key, device, elements[, view]).

    Raises:
        Malformed: it is of another kind, or impossible.
    """
    parts = identity if type(identity) is tuple else (identity,)
    word = parts[0] if parts and type(parts[0]) is str else ""
    if word != "storage" or len(parts) not in (5, 6):
        raise Malformed(f"a persistent id of the kind {printable(word)!r}, which is no storage")
    _, kind, key, _, elements, view = (*parts, None)[:6]
    if type(kind) is not _StorageType or type(key) is not str:
        raise Malformed("a storage without a type or key")
    item = kind.dtype.itemsize
    nbytes = item * _count(elements)
    if view is None:
        return Storage(key, kind.dtype, nbytes, 0, nbytes)
    if type(view) is not tuple or len(view) != 3:
        raise Malformed("a view of a storage that cannot be read")
    start, size = item * _count(view[1]), item * _count(view[2])
    if start + size > nbytes:
        raise Malformed(f"a view of {size} bytes of a storage of {nbytes}")
    return Storage(key, kind.dtype, nbytes, start, size)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        found = str(value) if type(value) is int else type(value).__name__
        raise Malformed(f"a size or place that is no count: {printable(found)}")
    return value


def _tensor(
    place: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor | NotPlain:
    if type(place) is not Storage:
        raise Malformed("a tensor without a storage")
    return _view(place, place.dtype, offset, shape, strides, metadata)


def _tensor_of_bytes(
    place: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor | NotPlain:
    if type(place) is not Storage or not isinstance(dtype, np.dtype):
        raise Malformed("a tensor without a storage or type")
    return _view(place, dtype, offset, shape, strides, metadata)


def _view(
    place: Storage, dtype: np.dtype, offset: Any, shape: Any, strides: Any, metadata: Any
) -> Tensor | NotPlain:
    tuples = type(shape) is tuple and type(strides) is tuple
    if not tuples or not len(shape) == len(strides) <= _MOST_AXES:
        raise Malformed("a tensor without a shape or strides")
    shape, strides = tuple(map(_count, shape)), tuple(map(_count, strides))
    # The stride of an axis of one element means nothing, and may be anything.
    strides = tuple(s if n > 1 else 0 for n, s in zip(shape, strides, strict=True))
    last = _count(offset) + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    elements = place.size // dtype.itemsize
    if 0 not in shape and last >= elements:
        raise Malformed(f"a tensor that needs element {last} of a storage of {elements}")
    signs = {} if metadata is None else metadata
    if type(signs) is not dict or not signs.keys() <= {"conj", "neg"}:
        raise Malformed("a tensor with properties of another kind than conj and neg")
    if dtype.type is np.void:
        return NotPlain("of a type that NumPy lacks (quantised, or complex of half precision)")
    conjugated, negated = (signs.get(name) is True for name in ("conj", "neg"))
    if (conjugated or negated) and dtype.kind not in "fc":
        raise Malformed(f"a conjugated or negated tensor of {dtype}")
    return Tensor(place, dtype, offset, shape, strides, conjugated, negated)


def _parameter(data: Any, requires_grad: Any, hooks: Any, state: Any = None) -> Tensor | NotPlain:
    if type(data) not in (Tensor, NotPlain):
        raise Malformed("a parameter without a tensor")
    return data


def _with_attributes(function: Any, kind: Any, arguments: Any, state: Any) -> Tensor | NotPlain:
    """A tensor or parameter with attributes of Python's, of which none is a number of it."""
    known = type(function) is Function and function in _REBUILT.values()
    if not known or kind is not _TENSOR_CLASS or type(arguments) is not tuple:
        raise Malformed("a tensor of another class than torch.Tensor")
    return function.call(*arguments)


def _not_plain(kind: str) -> Function:
    return Function(lambda *arguments: NotPlain(kind))


def _device(kind: Any, index: Any = None) -> str:
    return _word(kind) if index is None else f"{_word(kind)}:{_count(index)}"


def _word(value: Any) -> str:
    if type(value) is not str:
        raise Malformed("a device or layout without a name")
    return value


_STORAGES: dict[str, Any] = {
    "Double": np.float64,
    "Float": np.float32,
    "Half": np.float16,
    "BFloat16": ml_dtypes.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
    "ComplexDouble": np.complex128,
    "ComplexFloat": np.complex64,
    "ComplexHalf": "V4",
    "QInt32": "V4",
    "QInt8": "V1",
    "QUInt8": "V1",
    "QUInt4x2": "V1",
    "QUInt2x4": "V1",
}
_BYTES = _StorageType(np.dtype(np.uint8))
_MOST_AXES = 64  # PyTorch's and NumPy's
_TYPES = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128", "bfloat16", "float8_e4m3fn"),
    *("float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"),
)
_TENSOR_CLASS = object()  # what stands for torch.Tensor and torch.nn.Parameter themselves
_REBUILT: dict[str, Function] = {
    "_rebuild_tensor": Function(_tensor),
    "_rebuild_tensor_v2": Function(_tensor),
    "_rebuild_tensor_v3": Function(_tensor_of_bytes),
    "_rebuild_parameter": Function(_parameter),
    "_rebuild_parameter_with_state": Function(_parameter),
    "_rebuild_qtensor": _not_plain("quantised; save its dequantize()"),
    "_rebuild_sparse_tensor": _not_plain("sparse; save its to_dense()"),
    "_rebuild_nested_tensor": _not_plain("nested; save its parts"),
    "_rebuild_meta_tensor_no_storage": _not_plain("a meta tensor, which has no numbers"),
}

NAMES: dict[str, Any] = {
    **VALUES,
    **{f"torch._utils.{name}": function for name, function in _REBUILT.items()},
    "torch._tensor._rebuild_from_type_v2": Function(_with_attributes),
    "torch.Tensor": _TENSOR_CLASS,
    "torch.nn.parameter.Parameter": _TENSOR_CLASS,
    "torch.Size": Function(lambda sizes=(): tuple(map(_count, sizes))),
    "torch.device": Function(_device),
    **{f"torch.{name}Storage": _StorageType(np.dtype(t)) for name, t in _STORAGES.items()},
    "torch.UntypedStorage": _BYTES,
    "torch.storage.UntypedStorage": _BYTES,
    **{f"torch.{n}": np.dtype(getattr(ml_dtypes, n, None) or getattr(np, n)) for n in _TYPES},
    "torch.complex32": np.dtype("V4"),
    # The names of kinds of layouts and quantisations stand for themselves.
    "torch.serialization._get_layout": Function(_word),
    **{
        f"torch.{name}": name
        for kind in ("affine", "symmetric")
        for name in (f"per_tensor_{kind}", f"per_channel_{kind}")
    },
    "torch.per_channel_affine_float_qparams": "per_channel_affine_float_qparams",
}
