"""Errors against golden values of the official code, computed on the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from benchmarks import parity
from benchmarks.support.goldens import Goldens
from benchmarks.support.our_steps import matmul_precision
from benchmarks.support.parity_figures import as_json
from benchmarks.support.work import Precision


def errors(*, goldens: str, part: str, precision: Precision) -> list[dict[str, Any]]:
    """Figures of one part of `benchmarks.parity`, computed in float32.

    Args:
        goldens: folder of the golden values.
        part: `"losses"`, `"network"` with all gradients, or one of `parity_steps.VARIANTS`.
        precision: `"float32"` or `"tf32"`.
    """
    golden = Goldens(Path(goldens))
    with matmul_precision(precision):
        jax.clear_caches()  # programs of the other precision
        if part == "losses":
            found = list(parity.loss_figures(golden, "float32"))
        elif part == "network":
            found = list(parity.network_figures(golden, "float32"))
        else:
            found = list(parity.three_steps_figures(golden, "float32", part))
    return as_json(found)
