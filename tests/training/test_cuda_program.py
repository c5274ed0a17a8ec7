"""The training step as a GPU would run it, lowered here: real convolutions and no CPU tricks."""

from __future__ import annotations

import functools
import re
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.extend.mlir import ir
from jax.interpreters import mlir

from msl_jax.methods import segmentation
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.models.initial import abstract_variables
from msl_jax.training.optimizer import parameter_groups, poly_schedule, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import train_step

MODEL = DeepLabV2(
    num_classes=3, backbone=ResNet(14, 16), aspp_dilations=(6, 12, 18), active_dilations=(6, 12)
)
OBJECTIVE = segmentation.Objective("max_square", multi=True, iw_alpha=0.2)

# Kernels that take part: four blocks of 1x1, 3x3, 1x1 and a 1x1 beside them, two rates of two
# heads, and the stem.
ONE_BY_ONE = 4 * 3
ALL = ONE_BY_ONE + 4 + 2 * 2 + 1


def _abstract_step():
    """The adaptation step for one device, and abstract arguments of it."""
    variables = abstract_variables(MODEL)
    rules = segmentation.parameter_rules(MODEL, multi=True)
    optimizer = sgd(
        parameter_groups(variables["params"], rules),
        segmentation.optimizer_groups(MODEL, 10.0, repeated_visits=True),
        poly_schedule(2.5e-4, 100),
        momentum=0.9,
        weight_decay=5e-4,
    )
    terms = segmentation.passes(MODEL, OBJECTIVE, adapt=True, axis_name=None)
    step = functools.partial(train_step, terms, optimizer, axis_name=None)
    state = jax.eval_shape(lambda v: TrainState.create(v, optimizer), variables)
    batch = {
        "source": {
            "image": jax.ShapeDtypeStruct((1, 48, 80, 3), jnp.uint8),
            "label": jax.ShapeDtypeStruct((1, 48, 80), jnp.uint8),
        },
        "target": {"image": jax.ShapeDtypeStruct((1, 32, 64, 3), jnp.uint8)},
    }
    return step, state, batch


def _is_fixed(value: Any) -> bool:
    """Whether the compiler knows a branch's index: the platform's, computed from a constant."""
    owner = value.owner
    if isinstance(owner, ir.Block):
        return False
    return owner.name == "stablehlo.constant" or (
        owner.name == "stablehlo.case" and _is_fixed(owner.operands[0])
    )


def _count(program: str) -> Counter[str]:
    """Operations of a program; those of a function as often as it is called, of a loop once."""
    with mlir.make_ir_context():
        functions = ir.Module.parse(program).body.operations
        operations, calls = {}, {}
        for function in functions:
            own: Counter[str] = Counter()
            called: Counter[str] = Counter()

            def note(operation, own=own, called=called) -> ir.WalkResult:
                if operation.name == "func.call":
                    called[ir.FlatSymbolRefAttr(operation.attributes["callee"]).value] += 1
                own[operation.name.removeprefix("stablehlo.")] += 1
                if operation.name == "stablehlo.case" and not _is_fixed(operation.operands[0]):
                    own["case on data"] += 1
                return ir.WalkResult.ADVANCE

            function.operation.walk(note)
            name = ir.StringAttr(function.attributes["sym_name"]).value
            operations[name], calls[name] = own, called

    @functools.cache
    def total(name: str) -> Counter[str]:
        found = operations[name].copy()
        for callee, times in calls[name].items():
            for operation, number in total(callee).items():
                found[operation] += times * number
        return found

    return total("main")


def count_operations(step: Any, state: Any, batch: Any, platform: str) -> Counter[str]:
    """Operations of a step, given abstract arguments, as it is lowered for a platform."""
    return _count(export.export(jax.jit(step), platforms=[platform])(state, batch).mlir_module())


@functools.cache
def _program(platform: str) -> Counter[str]:
    return count_operations(*_abstract_step(), platform)


def test_every_convolution_is_one() -> None:
    """Forward, and backward for kernel and input; images need no gradient; in two passes."""
    assert _program("cuda")["convolution"] == 2 * (3 * ALL - 1)


def _convolutions(platform: str) -> list[tuple[str, str, str]]:
    """Window, kernel and result of each convolution in the program, as it is written there."""
    step, state, batch = _abstract_step()
    program = export.export(jax.jit(step), platforms=[platform])(state, batch).mlir_module()
    pattern = (
        r"stablehlo\.convolution.*window = {(.*?)}.*?: \(tensor<\S+>, tensor<(\S+)x[a-z]\w+>\)"
        r" -> tensor<(\S+)x[a-z]\w+>"
    )
    return re.findall(pattern, program)


def test_no_gradient_is_a_strided_convolution_with_an_image_for_a_kernel() -> None:
    """XLA takes a strided convolution for no kernel's gradient, and runs it many times slower.

    That is how JAX writes the kernel gradient of a dilated convolution.
    """
    strided = {k for window, k, _ in _convolutions("cuda") if re.search("stride = .[2-9]", window)}
    # The stem, and the first convolutions of the stage that halves the size.
    assert strided == {"7x7x3x16", "1x1x64x32", "1x1x64x128"}


def test_classifiers_have_channels_for_tensor_cores() -> None:
    """Three classes become eight; elsewhere channels are multiples of eight by themselves."""
    kernels = {kernel for _, kernel, _ in _convolutions("cuda") if kernel.startswith("3x3")}
    assert {int(kernel.split("x")[3]) % 8 for kernel in kernels} == {0}
    assert "3x3x512x8" in kernels


def test_nothing_of_the_cpu_is_in_it() -> None:
    program = _program("cuda")
    assert program["optimization_barrier"] == 0
    assert program["custom_call"] == 0


def test_nothing_is_decided_while_it_runs() -> None:
    """A branch that depends on data makes a GPU wait for the host."""
    assert _program("cuda")["case on data"] == 0


def test_the_cpu_has_products_instead() -> None:
    """Else the other tests would pass whatever the platform."""
    cpu, cuda = _program("cpu"), _program("cuda")
    assert cpu["convolution"] < cuda["convolution"] / 2
    assert cpu["dot_general"] >= cuda["dot_general"] + 2 * 3 * ONE_BY_ONE
