"""A network as ONNX, converted by jax2onnx and compared with what it was converted from."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax.extend import core

from msl_jax.runtime import extras
from msl_jax.runtime.errors import UserError

INPUT, OUTPUT = "images", "probabilities"
TOLERANCE = 1e-4  # of probabilities


def to_onnx(network: Callable[[Array], Array], images: jax.ShapeDtypeStruct) -> Any:
    """Converts a network, and checks that onnxruntime computes from it what JAX does.

    Args:
        network: its probabilities `[B, ..., C]` from images; what else it needs are its constants.
        images: uint8 `[B, H, W, 3]`; B may be symbolic.

    Returns:
        An ``onnx.ModelProto`` with the input ``images`` and the output ``probabilities``.

    Raises:
        UserError: packages are missing, jax2onnx lacks an operation, or what onnxruntime computes
            differs.
    """
    try:
        # They warn of examples that do not fit the newest JAX, and of shapes that are left open.
        for package in ("jax2onnx", "onnx_ir"):
            logging.getLogger(package).setLevel(logging.ERROR)
        jax2onnx = importlib.import_module("jax2onnx")
        importlib.import_module("onnxruntime")
    except ImportError as error:
        install = extras.command("onnx")
        raise UserError(f"--onnx: {error.name} is missing: {install}") from error
    traced = jax.make_jaxpr(network)(images)

    # Traced before, as jax2onnx puts functions of its own in the place of JAX's while it traces,
    # which the caches of jax.jit would keep.
    def plain(images: Array) -> Array:
        (result,) = _evaluate(traced.jaxpr, traced.consts, [images])
        return result

    try:
        program = jax2onnx.to_onnx(plain, [images], input_names=[INPUT], output_names=[OUTPUT])
    except NotImplementedError as error:
        raise UserError(f"--onnx: jax2onnx cannot convert this network: {error}") from error
    _expect_equal(program, network, images)
    return program


def _expect_equal(
    program: Any, network: Callable[[Array], Array], images: jax.ShapeDtypeStruct
) -> None:
    onnxruntime = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(
        program.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    shape = (2, *images.shape[1:])
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    (found,) = session.run([OUTPUT], {INPUT: noise})
    expected = np.asarray(jax.jit(network)(noise))
    if not np.allclose(found, expected, rtol=0, atol=TOLERANCE):
        most = np.abs(found - expected).max()
        raise UserError(
            f"--onnx: expected probabilities within {TOLERANCE} of JAX's, found {most:.2g} between"
            " them: this network cannot be converted; leave out --onnx"
        )


def _evaluate(jaxpr: core.Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """Computes a traced function by JAX's primitives, as far as jax2onnx knows them.

    Functions within it are computed in their place, those that are written for each platform as for
    GPUs: by plain convolutions, which other runtimes know.
    """
    values = dict(zip(jaxpr.constvars, constants, strict=True))
    values |= zip(jaxpr.invars, arguments, strict=True)

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        inputs, name = [read(variable) for variable in equation.invars], equation.primitive.name
        parameters = equation.params
        inner = parameters.get("jaxpr") or parameters.get("call_jaxpr")
        if name == "cond" and isinstance(inputs[0], int):
            inner, inputs = parameters["branches"][inputs[0]], inputs[1:]
        if name == "platform_index":
            results: Sequence[Any] = [_index(parameters["platforms"])]
        elif inner is not None:
            results = _evaluate(inner.jaxpr, inner.consts, inputs)
        elif name in _REWRITTEN:
            results = [_REWRITTEN[name](*inputs, **parameters)]
        else:
            found = equation.primitive.bind(*inputs, **parameters)
            results = found if equation.primitive.multiple_results else [found]
        values |= zip(equation.outvars, results, strict=True)
    return [read(variable) for variable in jaxpr.outvars]


def _index(platforms: Sequence[Sequence[str] | None]) -> int:
    """Of the function that `jax.lax.platform_dependent` has for GPUs, or for the others."""
    return next(i for i, names in enumerate(platforms) if names is None or "cuda" in names)


def _pad(x: Array, value: Any, *, padding_config: Sequence[tuple[int, int, int]]) -> Array:
    """`jax.lax.pad`, by joining: jax2onnx has none of arrays with a symbolic side."""
    if any(low < 0 or high < 0 or between for low, high, between in padding_config):
        return lax.pad(x, value, padding_config)
    for axis, (low, high, _) in enumerate(padding_config):
        sides = [(*x.shape[:axis], number, *x.shape[axis + 1 :]) for number in (low, high)]
        before, after = ([lax.broadcast_in_dim(value, s, ())] if s[axis] else [] for s in sides)
        x = lax.concatenate([*before, x, *after], axis) if before or after else x
    return x


def _maximum(
    x: Array,
    *,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **_: Any,
) -> Array:
    """The largest values in windows of `[B, H, W, C]`: jax2onnx's has more axes than onnxruntime's.

    Dilated windows, which no network here has, are not known.
    """
    lowest = np.array(-np.inf, x.dtype)
    x = _pad(x, lowest, padding_config=[(low, high, 0) for low, high in padding])
    rows, columns = (
        (x.shape[axis] - window_dimensions[axis]) // window_strides[axis] * window_strides[axis] + 1
        for axis in (1, 2)
    )
    parts = (
        lax.slice(x, (0, i, j, 0), (x.shape[0], i + rows, j + columns, x.shape[3]), window_strides)
        for i, j in np.ndindex(*window_dimensions[1:3])
    )
    return functools.reduce(lax.max, parts)


_REWRITTEN: dict[str, Callable[..., Array]] = {"pad": _pad, "reduce_window_max": _maximum}
