"""All figures of parity with the official PyTorch code, from golden values that it produced.

    python -m benchmarks.parity [--goldens DIR] [--markdown]

Compares the losses; the full ResNet-101 network on one image, with all gradients and running
statistics; and three adaptation steps of each variant, made by the real training step. Everything
is compared in float64 and in float32. Prints one JSON object, or with `--markdown` the table of
docs/reproducing.md; the exit status is 1 if an error exceeds its bound.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from benchmarks.support.goldens import FOLDER, Goldens, our_labels
from benchmarks.support.parity_figures import (
    PRECISIONS,
    Figure,
    Precision,
    as_json,
    as_markdown,
    figure,
)
from benchmarks.support.parity_steps import STEPS, VARIANTS, network_outputs, three_steps
from msl_jax import losses
from msl_jax.convert import to_torch

Arrays = Mapping[str, np.ndarray]
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


def loss_figures(goldens: Goldens, precision: Precision) -> Iterator[Figure]:
    """Value and gradients of each loss on golden logits."""
    golden = goldens.losses
    with jax.enable_x64(precision == "float64"):
        final, low = (golden[f"{head}_logits"].astype(precision) for head in ("final", "low"))
        for name, loss in LOSSES.items():
            compare = functools.partial(figure, f"loss {name}", precision=precision)
            gradient = jax.jit(jax.value_and_grad(loss, (0, 1)))
            value, found = gradient(final, low, our_labels(golden["labels"]))
            # The official code has no gradient for a head that a loss does not use, ours is 0.
            expected = [golden.get(f"{name}/grad_{head}", 0 * low) for head in ("final", "low")]
            yield compare("loss", found=value, expected=golden[f"{name}/value"])
            yield compare("gradient by the logits", found=np.stack(found), expected=expected)


def network_figures(goldens: Goldens, precision: Precision) -> Iterator[Figure]:
    """The network on one image, and the source pass of the Multi objective with its gradients."""
    golden = goldens.network
    with jax.enable_x64(precision == "float64"):
        logits, loss, stats, gradients = network_outputs(goldens, precision)
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
    """Losses, weights and statistics over three adaptation steps of a variant in `VARIANTS`."""
    prefix = f"{name}/"
    arrays = goldens.three_steps
    golden = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    compare = functools.partial(figure, f"three steps, {name}", precision=precision)
    with jax.enable_x64(precision == "float64"):
        state, metrics = three_steps(goldens, VARIANTS[name], precision)
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
    """Errors of changes relative to the changes, which are small compared with the weights."""
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


def _norms(arrays: Arrays, names: np.ndarray) -> np.ndarray:
    return np.array([np.linalg.norm(arrays[name].astype(np.float64)) for name in names])


def _rms(norms: np.ndarray, arrays: Arrays, names: np.ndarray) -> np.ndarray:
    """Root mean squares of the arrays with these norms."""
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
