"""Drawn street scenes as the labelled source of real ones: the demo's, larger and of both looks.

Streets by day in a clean rendering and streets at dusk through a camera alternate: a network that
is trained on both depends less on either look. There is nothing to download.
"""

from __future__ import annotations

from msl_jax.data.datasets.dataset import BuiltIn, Kind
from msl_jax.data.demo.dataset import Demo, DemoExample
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.runtime.errors import UserError

_SEED = 1  # streets that the demo does not have
_LOOKS = ("source", "target")  # the demo's domains
_COUNTS = {"train": 2000, "val": 200}


class Drawn(BuiltIn):
    """Drawn street scenes in ten classes of Cityscapes."""

    name = "drawn"
    kind: Kind = "pixels"
    label_set = LABEL_SETS["demo"]
    label_sets = (label_set,)
    splits = tuple(_COUNTS)
    default_size = (224, 400)  # of configs/drawn_cityscapes.py

    def __init__(self) -> None:
        """Draws nothing yet."""
        counts = {
            f"{look}_{split}": count // len(_LOOKS)
            for split, count in _COUNTS.items()
            for look in _LOOKS
        }
        self._streets = Demo(_SEED, self.default_size, counts)

    @property
    def fingerprint(self) -> str:
        """The generator's version, styles and settings."""
        return self._streets.fingerprint

    def examples(self, split: str, *, missing_ok: bool = False) -> list[DemoExample]:
        """Lists the examples of a split, the looks alternating.

        Args:
            split: one of `splits`.
            missing_ok: of no meaning here; there are no files.

        Raises:
            UserError: unknown split.
        """
        del missing_ok
        if split not in self.splits:
            raise UserError(f"drawn has no split {split!r}; choose one of {list(self.splits)}.")
        looks = (self._streets.examples(f"{look}_{split}") for look in _LOOKS)
        return [example for pair in zip(*looks, strict=True) for example in pair]
