"""Figures of parity: an error, how it is measured and its bound; as JSON and Markdown."""

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
    """What can be compared.

    Attributes:
        scale: what an error is divided by: the ``"largest"`` expected value, each one's ``"own"``,
            the ``"rms"`` of the array that it is an element of, or ``"none"``.
        float64: bound under x64.
        float32: bound in float32.
    """

    scale: Literal["largest", "own", "rms", "none"]
    float64: float = 1e-6
    float32: float = 1e-4


# In float32 PyTorch differs from itself by up to 2.5e-3 in norms of gradients and by 2 % in single
# ones: rounding errors grow on their way through a hundred norms over a batch of one or two. After
# a step some pixels at the guidance's threshold lie on its other side, each of them 8e-4 of those
# that pass.
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
        kind: what of it is compared, one of `KINDS`.
        precision: of our computation; the golden values are float64.
        error: the largest over all values compared.
        count: how many these are.
    """

    golden: str
    kind: str
    precision: Precision
    error: float
    count: int

    @property
    def bound(self) -> float:
        """The largest error that is allowed."""
        return getattr(KINDS[self.kind], self.precision)

    @property
    def within(self) -> bool:
        """Whether the bound is kept, which an error that is no number does not."""
        return self.error <= self.bound


def figure(
    golden: str,
    kind: str,
    precision: Precision,
    found: ArrayLike,
    expected: ArrayLike,
    rms: ArrayLike | None = None,
) -> Figure:
    """Compares arrays of one shape.

    Args:
        golden: see `Figure`.
        kind: see `Figure`.
        precision: see `Figure`.
        found: ours.
        expected: the golden values; where the kind divides by each one's own, none is 0.
        rms: root mean squares, for a kind that divides by them.

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
    """Table with a row for each comparison and, for each precision, the error and its bound."""
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
