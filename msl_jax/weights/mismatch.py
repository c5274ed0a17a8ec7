"""One error for all differences between the weights that are there and those a network needs."""

from __future__ import annotations

from collections.abc import Mapping

from msl_jax.runtime.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]


def expect_same_shapes(found: Shapes, expected: Shapes, *, title: str, advice: str) -> None:
    """Compares names and shapes in both directions.

    Args:
        found: shapes by name, of the weights.
        expected: shapes by name, of the network.
        title: first line of the error.
        advice: last line of the error.

    Raises:
        UserError: they differ; lists all that is missing, left over or of another shape.
    """
    shapes = [
        f"{name}: expected {_text(expected[name])}, found {_text(found[name])}"
        for name in expected
        if name in found and tuple(found[name]) != tuple(expected[name])
    ]
    missing = [f"{name} {_text(expected[name])}" for name in expected if name not in found]
    left_over = [f"{name} {_text(found[name])}" for name in found if name not in expected]
    lists = {"missing": missing, "left over": left_over, "of another shape": shapes}
    if any(lists.values()):
        lines = [title]
        for kind, names in lists.items():
            if names:
                lines += [f"  {kind} ({len(names)}):", *(f"    {name}" for name in names)]
        raise UserError("\n".join([*lines, advice]))


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
