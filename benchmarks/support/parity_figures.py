"""Figures of parity: errors, how they are measured, and their bounds; as JSON and Markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

Precision = Literal["float64", "float32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of values that are compared.

    Attributes:
        scale: what errors are divided by: the ``"largest"`` expected value, the ``"own"`` one of
            each, the ``"rms"`` of the array that it belongs to, or ``"none"``.
        float64: bound in float64.
        float32: bound in float32.
    """

    scale: Literal["largest", "own", "rms", "none"]
    float64: float = 1e-6
    float32: float = 1e-4


# In float32 PyTorch itself deviates by up to 2.5e-3 in norms of gradients and by 2 % in single
# elements: rounding errors grow through a hundred batch-norm layers over a batch of one or two.
# After a step some pixels cross the guidance threshold; each is 8e-4 of those that pass it.
KINDS = {
    "loss": Kind("own", float32=1e-5),
    "gradient by the logits": Kind("largest", float32=1e-5),
    "logits": Kind("largest", float32=1e-4),
    "training loss": Kind("own", float32=1e-4),
    "norm of each gradient": Kind("own", float32=1e-2),
    "first element of each gradient": Kind("rms", float32=1e-1),
    "norm of each running statistic": Kind("own", float32=1e-4),
    "losses": Kind("own", float32=1e-3),
    "losses with guidance": Kind("largest", float32=1e-3),
    "guidance loss and its pixels": Kind("own", float32=1e-2),
    "norm of each change": Kind("own", float32=5e-2),
    "first and last element of each change": Kind("rms", float32=2e-1),
    "change where no gradient is": Kind("none", float64=0.0, float32=0.0),
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """One error and its bound.

    Attributes:
        golden: which golden value.
        kind: what is compared, one of `KINDS`.
        precision: of our computation; the golden values are float64.
        error: the largest over all values compared.
        count: number of these values.
    """

    golden: str
    kind: str
    precision: Precision
    error: float
    count: int

    @property
    def bound(self) -> float:
        """The largest error allowed."""
        return getattr(KINDS[self.kind], self.precision)

    @property
    def within(self) -> bool:
        """Whether the error is within its bound; NaN is not."""
        return self.error <= self.bound


def figure(
    golden: str,
    kind: str,
    precision: Precision,
    found: ArrayLike,
    expected: ArrayLike,
    rms: ArrayLike | None = None,
) -> Figure:
    """Compares arrays of the same shape.

    Args:
        golden: see `Figure`.
        kind: see `Figure`.
        precision: see `Figure`.
        found: our values.
        expected: the golden values; not 0 if the kind divides by each one's own value.
        rms: root mean squares, if the kind divides by them.

    >>> figure("network", "logits", "float32", [1.0, 4.0], [1.5, 5.0]).error
    0.2
    >>> figure("network", "loss", "float32", [1.0, 4.0], [1.25, 5.0]).within
    False
    """
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        raise ValueError(f"{golden}, {kind}: shape {found.shape}, expected {expected.shape}")
    scale = {
        "largest": np.abs(expected).max(),
        "own": np.abs(expected),
        "rms": rms,
        "none": 1.0,
    }[KINDS[kind].scale]
    error = np.max(np.abs(found - expected) / scale)
    return Figure(golden, kind, precision, float(error), expected.size)


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The figures with their bounds, ready for `json.dumps`."""
    return [
        {
            **dataclasses.asdict(found),
            "relative_to": KINDS[found.kind].scale,
            "bound": found.bound,
            "within": found.within,
        }
        for found in figures
    ]


def as_markdown(figures: Sequence[Figure]) -> str:
    """A table with a row per comparison and, for each precision, the error and its bound."""
    rows: dict[tuple[str, str, int], dict[str, Figure]] = {}
    for found in figures:
        row = rows.setdefault((found.golden, found.kind, found.count), {})
        row[found.precision] = found
    scales = {
        "largest": "largest value",
        "own": "own value",
        "rms": "its array's root mean square",
        "none": "(absolute)",
    }
    lines = [
        "| golden | compared | values | error relative to | float64 | bound | float32 | bound |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (golden, kind, count), row in rows.items():
        cells = [golden, kind, str(count), scales[KINDS[kind].scale]]
        for precision in PRECISIONS:
            cells += _cells(row[precision]) if precision in row else ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cells(found: Figure) -> list[str]:
    error, bound = (f"{value:.1e}" if value else "0" for value in (found.error, found.bound))
    return [error if found.within else f"**{error}**", bound]
