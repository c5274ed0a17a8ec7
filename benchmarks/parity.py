"""Every figure of parity with the official PyTorch code, from golden values that it produced.

    python -m benchmarks.parity [--goldens DIR] [--markdown]

The losses; the full ResNet-101 network on one image, with all gradients and running statistics;
three adaptation steps by the real step in each variant: all under x64 and in float32. Prints one
JSON object, or with `--markdown` the table of docs/reproducing.md; exits with 1 where a bound is
broken.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from benchmarks.support.goldens import FOLDER, MODEL, Goldens, our_labels
from benchmarks.support.parity_figures import (
    PRECISIONS,
    Figure,
    Precision,
    as_json,
    as_markdown,
    figure,
)
from msl_jax import losses
from msl_jax.convert import to_torch
from msl_jax.methods.segmentation import Objective, optimizer_groups, parameter_rules, passes
from msl_jax.models import DeepLabV2
from msl_jax.training.optimizer import parameter_groups, poly_schedule, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import train_step

Arrays = Mapping[str, np.ndarray]
# (state, batch, which optimizer) -> (state, metrics)
Step = Callable[[TrainState, Any, int], tuple[TrainState, dict[str, Array]]]

HEAD_RATE, MOMENTUM, WEIGHT_DECAY = 10.0, 0.9, 5e-4  # the goldens' own, not kept in their files
STEPS = 3
# In the goldens' order; with one head the first and the third.
METRICS = (
    "source/final",
    "source/low",
    "target/final",
    "target/guidance",
    "target/guided_share",
)

# Name in the goldens: loss of (final logits, low logits, labels).
LOSSES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "cross_entropy": lambda final, low, labels: losses.cross_entropy(final, labels),
    "entropy": lambda final, low, labels: losses.entropy(final),
    "iw_entropy": lambda final, low, labels: losses.entropy(final, iw_alpha=0.2),
    "max_square": lambda final, low, labels: losses.max_square(final),
    "iw_max_square": lambda final, low, labels: losses.max_square(final, iw_alpha=0.2),
    "hard_pseudo_label_0.95": lambda final, low, labels: losses.cross_entropy(
        final, losses.pseudo_labels(final, 0.95)
    ),
    "guidance_0.95": lambda final, low, labels: losses.cross_entropy(
        low, losses.guidance_labels(final, low, 0.95)
    ),
}


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


def loss_figures(goldens: Goldens, precision: Precision) -> Iterator[Figure]:
    """Value and gradients of each loss on golden logits."""
    golden = goldens.losses
    with jax.enable_x64(precision == "float64"):
        final, low = (golden[f"{head}_logits"].astype(precision) for head in ("final", "low"))
        for name, loss in LOSSES.items():
            compare = functools.partial(figure, f"loss {name}", precision=precision)
            gradient = jax.jit(jax.value_and_grad(loss, (0, 1)))
            value, found = gradient(final, low, our_labels(golden["labels"]))
            # The official gradient by a head that a loss does not read is none, here it is 0.
            expected = [golden.get(f"{name}/grad_{head}", 0 * low) for head in ("final", "low")]
            yield compare("loss", found=value, expected=golden[f"{name}/value"])
            yield compare("gradient by the logits", found=np.stack(found), expected=expected)


def network_figures(goldens: Goldens, precision: Precision) -> Iterator[Figure]:
    """The network on one image, then the source pass of the multi objective with its gradients."""
    golden = goldens.network
    with jax.enable_x64(precision == "float64"):
        variables = _cast(goldens.variables, precision)
        batch = {"image": golden["image"].astype(precision), "label": our_labels(golden["labels"])}
        outputs = _compiled(functools.partial(_network_outputs, _model(precision)))
        logits, loss, stats, gradients = jax.device_get(outputs(variables, {"source": batch}))
    for mode, heads in logits.items():
        for head, found in zip(("final", "low"), heads, strict=True):
            name = f"network, {mode} mode, {head} head"
            yield figure(name, "logits", precision, found, golden[f"{mode}/{head}_logits"])
    compare = functools.partial(figure, "network, train mode", precision=precision)
    yield compare("training loss", found=loss, expected=golden["train/loss"])
    arrays, names = to_torch({"params": gradients}), golden["train/grad_names"]
    norms = golden["train/grad_norms"]
    yield compare("norm of each gradient", found=_norms(arrays, names), expected=norms)
    yield compare(
        "first element of each gradient",
        found=[arrays[key].flat[0] for key in names],
        expected=golden["train/grad_first"],
        rms=_rms(norms, arrays, names),
    )
    yield compare(
        "norm of each running statistic",
        found=_norms(to_torch({"batch_stats": stats}), golden["train/stat_names"]),
        expected=golden["train/stat_norms"],
    )


def three_steps_figures(goldens: Goldens, precision: Precision, name: str) -> Iterator[Figure]:
    """What three adaptation steps of a variant in `VARIANTS` do to losses and weights."""
    prefix = f"{name}/"
    arrays = goldens.three_steps
    golden = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    compare = functools.partial(figure, f"three steps, {name}", precision=precision)
    with jax.enable_x64(precision == "float64"):
        state, metrics = _three_steps(goldens, VARIANTS[name], precision)
    expected = np.array([golden[f"losses/{i}"] for i in range(STEPS)])
    terms, guidance = slice(None, 3), slice(3, None)  # the second is empty with one head
    for kind, part in (("losses", terms), ("guidance loss and its pixels", guidance)):
        if expected[:, part].size:
            yield compare(kind, found=metrics[:, part], expected=expected[:, part])
    if VARIANTS[name].multi:
        terms = slice(None, 4)
        yield compare("losses with guidance", found=metrics[:, terms], expected=expected[:, terms])
    yield from _change_figures(compare, golden, goldens.variables["params"], state.params)
    yield compare(
        "norm of each running statistic",
        found=_norms(to_torch({"batch_stats": state.batch_stats}), golden["stat_names"]),
        expected=golden["stat_norms"],
    )


def _change_figures(
    compare: Callable[..., Figure], golden: Arrays, before: Any, after: Any
) -> Iterator[Figure]:
    """Errors of changes relative to the changes, which are small beside the weights."""
    start, end = to_torch({"params": before}), to_torch({"params": after})
    changes = {name: end[name].astype(np.float64) - start[name] for name in end}
    moved = golden["delta_norms"] > 0
    names, norms = golden["names"][moved], golden["delta_norms"][moved]
    yield compare("norm of each change", found=_norms(changes, names), expected=norms)
    yield compare(
        "first and last element of each change",
        found=[end[name].flat[[0, -1]] for name in names],
        expected=golden["probes"][moved],
        rms=_rms(norms, changes, names)[:, None],
    )
    still = golden["names"][~moved]
    zeros = np.zeros(len(still))
    yield compare("change where no gradient is", found=_norms(changes, still), expected=zeros)


def all_figures(goldens: Goldens, precision: Precision) -> Iterator[Figure]:
    """All figures in one precision."""
    yield from loss_figures(goldens, precision)
    yield from network_figures(goldens, precision)
    for name in VARIANTS:
        yield from three_steps_figures(goldens, precision, name)


def _network_outputs(model: DeepLabV2, variables: Any, batch: Any) -> tuple[Any, Array, Any, Any]:
    """Logits in both modes, loss, new statistics and gradients: one program, compiled once."""
    images = batch["source"]["image"]
    objective = Objective(multi=True, lambda_source_low=0.1)
    source = passes(model, objective, "none", adapt=False, axis_name=None)[0]
    logits = {
        "eval": model.apply(variables, images),
        "train": model.apply(variables, images, train=True, mutable=["batch_stats"])[0],
    }
    (loss, (stats, _)), gradients = jax.value_and_grad(source, has_aux=True)(
        variables["params"], variables["batch_stats"], batch
    )
    return logits, loss, stats, gradients


def _three_steps(
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
    """The real `train_step` of the variants with one head or both, and an optimizer's first state.

    Whether the optimizer repeats its visits is an argument of the compiled program, so that the
    variants that differ in nothing else share it: compilation takes most of the time.
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
    terms = passes(model, objective, "none", adapt=True, axis_name=None)
    groups = parameter_groups(goldens.variables["params"], parameter_rules(model, multi=multi))
    optimizers = [
        sgd(
            groups,
            optimizer_groups(HEAD_RATE, repeated_visits=repeated_visits),
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
    """Compiled quickly on a CPU: that takes much longer there than the few calls that follow."""
    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    wanted = quick if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=wanted, **options)


def _model(precision: Precision) -> DeepLabV2:
    return MODEL.clone(param_dtype=jnp.dtype(precision))


def _cast(tree: Any, precision: Precision) -> Any:
    return jax.tree.map(lambda leaf: jnp.array(leaf, precision), tree)


def _norms(arrays: Arrays, names: np.ndarray) -> np.ndarray:
    return np.array([np.linalg.norm(arrays[name].astype(np.float64)) for name in names])


def _rms(norms: np.ndarray, arrays: Arrays, names: np.ndarray) -> np.ndarray:
    """Root mean squares of arrays with these norms."""
    return norms / np.sqrt([arrays[name].size for name in names])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity", description="Parity with the official code."
    )
    parser.add_argument("--goldens", type=Path, default=FOLDER, help="default: %(default)s")
    parser.add_argument("--markdown", action="store_true", help="print a table instead of JSON")
    options = parser.parse_args(arguments)
    try:
        goldens = Goldens(options.goldens)
    except FileNotFoundError as error:
        parser.error(f"{error}; name the folder that holds them with --goldens=DIR")
    figures = []
    for precision in PRECISIONS:
        for found in all_figures(goldens, precision):
            line = f"{precision}: {found.golden}: {found.kind}: {found.error:.1e}"
            print(line, file=sys.stderr, flush=True)
            figures.append(found)
    within = all(found.within for found in figures)
    result = {
        "benchmark": "parity",
        "within": within,
        "figures": as_json(figures),
        "platform": jax.default_backend(),
        "versions": {name: metadata.version(name) for name in ("jax", "flax", "optax", "numpy")},
    }
    print(as_markdown(figures) if options.markdown else json.dumps(result))
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
