"""Our side of parity: the network on a golden image, and the golden adaptation steps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from benchmarks.support.goldens import MODEL, Goldens, our_labels
from benchmarks.support.parity_figures import Precision
from msl_jax.methods.segmentation import Objective, optimizer_groups, parameter_rules, passes
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.training.optimizer import parameter_groups, poly_schedule, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import Context, train_step

# (state, batch, index of the optimizer) -> (state, metrics)
Step = Callable[[TrainState, Any, int], tuple[TrainState, Mapping[str, Array]]]

HEAD_RATE, MOMENTUM, WEIGHT_DECAY = 10.0, 0.9, 5e-4  # the goldens' own, not stored in their files
STEPS = 3
# In the goldens' order; with one head only the first and the third.
METRICS = (
    "source/final",
    "source/low",
    "target/final",
    "target/guidance",
    "target/guided_share",
)


class Variant(NamedTuple):
    """A run of three steps in the goldens."""

    batch: int
    multi: bool
    repeated_visits: bool


VARIANTS = {
    "multi_iw_once": Variant(batch=1, multi=True, repeated_visits=False),
    "multi_iw_published": Variant(batch=1, multi=True, repeated_visits=True),
    "single_max_square_batch2": Variant(batch=2, multi=False, repeated_visits=False),
}


def network_outputs(goldens: Goldens, precision: Precision) -> tuple[Any, ...]:
    """Logits in both modes, loss, new statistics and gradients on the golden image, on the host."""
    golden = goldens.network
    batch = {"image": golden["image"].astype(precision), "label": our_labels(golden["labels"])}
    outputs = _compiled(functools.partial(_network_outputs, _model(precision)))
    return jax.device_get(outputs(_cast(goldens.variables, precision), {"source": batch}))


def _network_outputs(model: DeepLabV2, variables: Any, batch: Any) -> tuple[Any, Array, Any, Any]:
    """Logits in both modes, loss, new statistics and gradients: one program, compiled once."""
    images = batch["source"]["image"]
    objective = Objective(multi=True, lambda_source_low=0.1)
    source = passes(model, objective, adapt=False, axis_name=None)[0]
    logits = {
        "eval": model.apply(variables, images),
        "train": model.apply(variables, images, train=True, mutable=["batch_stats"])[0],
    }
    (loss, (stats, _)), gradients = jax.value_and_grad(source, has_aux=True)(
        variables["params"], variables["batch_stats"], batch, Context(jnp.int32(0), {})
    )
    return logits, loss, stats, gradients


def three_steps(
    goldens: Goldens, variant: Variant, precision: Precision
) -> tuple[TrainState, np.ndarray]:
    """The state afterwards, and the metrics of each step `[steps, metrics]`."""
    step, optimizer = _compiled_step(goldens, variant.multi, precision)
    state = TrainState.create(_cast(goldens.variables, precision), optimizer)
    source, labels, target = (
        goldens.three_steps[f"batch{variant.batch}/{name}"]
        for name in ("source_images", "source_labels", "target_images")
    )
    history = []
    for i in range(STEPS):
        batch = {
            "source": {"image": source[i].astype(precision), "label": our_labels(labels[i])},
            "target": {"image": target[i].astype(precision)},
        }
        state, metrics = step(state, batch, int(variant.repeated_visits))
        history.append([float(metrics[name]) for name in METRICS if name in metrics])
    return jax.device_get(state), np.array(history)


@functools.cache
def _compiled_step(
    goldens: Goldens, multi: bool, precision: Precision
) -> tuple[Step, optax.GradientTransformation]:
    """The real `train_step` of the variants with one head or two, and their optimizer.

    Whether the optimizer visits parameters repeatedly is an argument of the compiled program, so
    that variants that differ only in this share it: compilation takes most of the time.
    """
    golden = {key: value.item() for key, value in goldens.three_steps.items() if not value.shape}
    objective = Objective(
        "max_square",
        multi=multi,
        lambda_target=golden["lambda_target"],
        lambda_source_low=golden["lambda_low"],
        lambda_low=golden["lambda_low"],
        iw_alpha=golden["iw_alpha"] if multi else None,
        guidance_threshold=golden["guidance_threshold"],
    )
    model = _model(precision)
    terms = passes(model, objective, adapt=True, axis_name=None)
    groups = parameter_groups(goldens.variables["params"], parameter_rules(model, multi=multi))
    optimizers = [
        sgd(
            groups,
            optimizer_groups(model, HEAD_RATE, repeated_visits=repeated_visits),
            poly_schedule(golden["learning_rate"], golden["max_steps"]),
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
        )
        for repeated_visits in ((False, True) if multi else (False,))
    ]

    def step(state: TrainState, batch: Any, which: Array) -> Any:
        def update(*args: Any) -> Any:
            return lax.switch(which, [optimizer.update for optimizer in optimizers], *args)

        chosen = optax.GradientTransformation(optimizers[0].init, update)
        return train_step(terms, chosen, state, batch, axis_name=None)

    return _compiled(step, donate_argnums=0), optimizers[0]


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Jitted; on a CPU with few optimizations, because compiling takes longer than the calls."""
    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    wanted = quick if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=wanted, **options)


def _model(precision: Precision) -> DeepLabV2:
    return MODEL.clone(backbone=ResNet(input_convention=None, param_dtype=jnp.dtype(precision)))


def _cast(tree: Any, precision: Precision) -> Any:
    return jax.tree.map(lambda leaf: jnp.array(leaf, precision), tree)
