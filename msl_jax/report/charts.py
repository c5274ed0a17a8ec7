"""Line charts as SVG, drawn with the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from msl_jax.report.html import element
from msl_jax.runs.scalars import Points

_WIDTH, _HEIGHT = 420, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 26, 10, 24
_MOST_POINTS = 300  # more than the eye can tell apart at this width
_MOST_DOTS = 40


def line_chart(lines: Mapping[str, Points], steps: int, title: str) -> Element:
    """A chart of values over steps.

    Args:
        lines: values by step for each line; at least one line, each with at least one value.
        steps: where the axis of steps ends.
        title: the text alternative, to which the first and last value of each line are added.

    Returns:
        An element ``svg``; its lines have the classes ``line0``, ``line1`` ...
    """
    values = [value for points in lines.values() for value in points.values()]
    rows = ticks(min(values), max(values))
    columns = [tick for tick in ticks(0, steps) if 0 <= tick <= steps]
    low, high = min(rows[0], *values), max(rows[-1], *values)

    def x(step: float) -> str:
        return f"{_LEFT + (_WIDTH - _LEFT - _RIGHT) * step / max(steps, 1):.1f}"

    def y(value: float) -> str:
        return f"{_TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low):.1f}"

    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [element("title", f"{title}. {_summary(lines)}")]
    for tick in rows:
        parts.append(element("line", class_="grid", x1=_LEFT, x2=right, y1=y(tick), y2=y(tick)))
        label = element("text", _text(tick), x=_LEFT - 6, y=y(tick), dy="0.32em", class_="row")
        parts.append(label)
    for tick in columns:
        parts.append(element("text", f"{tick:,.0f}", x=x(tick), y=bottom + 17, class_="column"))
    for number, (name, points) in enumerate(lines.items()):
        group = element("g", class_=f"line{number}")
        path = " ".join(f"{x(step)},{y(value)}" for step, value in thinned(points).items())
        group.append(element("polyline", points=path))
        if len(points) <= _MOST_DOTS:
            for step, value in points.items():
                tip = element("title", f"{name}, step {step:,}: {_text(value)}")
                group.append(element("circle", tip, cx=x(step), cy=y(value), r=3))
        parts.append(group)
    return element("svg", *parts, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img")


def _summary(lines: Mapping[str, Points]) -> str:
    ends = ((name, list(points.items())) for name, points in lines.items())
    return " ".join(
        f"{name}: {_text(points[0][1])} at step {points[0][0]:,},"
        f" {_text(points[-1][1])} at step {points[-1][0]:,}."
        for name, points in ends
    )


def _text(value: float) -> str:
    return f"{value:.3g}"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Two or more round numbers: the first is at most `low`, the last at least `high`.

    >>> ticks(0.31, 0.48)
    [0.3, 0.35, 0.4, 0.45, 0.5]
    """
    width = max(high - low, 1e-3 * abs(high), 1e-9)
    unit = 10.0 ** math.floor(math.log10(width / most))
    for factor in (1, 2, 5, 10, 20):
        step = factor * unit
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    return [float(f"{tick * step:.12g}") for tick in range(first, max(last, first + 1) + 1)]


def thinned(points: Points, most: int = _MOST_POINTS) -> Points:
    """At most `most` points: means over groups of consecutive points, each at its mean step.

    >>> thinned({0: 1.0, 1: 3.0, 2: 5.0}, most=2)
    {0: 2.0, 2: 5.0}
    """
    size = -(-len(points) // most)
    steps = list(points)
    groups = [steps[begin : begin + size] for begin in range(0, len(steps), size)]
    return {
        sum(group) // len(group): sum(points[step] for step in group) / len(group)
        for group in groups
    }
