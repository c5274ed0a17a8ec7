"""The built-in demo data set: street scenes in two domains, drawn when they are read.

The source has a clean rendered look, the target that of a camera at dusk (`style`); both share the
distribution of scenes (`scene`). There is nothing to download.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from msl_jax.data.datasets.dataset import BuiltIn, Kind
from msl_jax.data.demo import scene
from msl_jax.data.demo.style import STYLES
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.runtime.errors import UserError

GENERATOR_VERSION = 1  # raise it when layout or shading change; a digest covers the styles
SMALLEST = 32  # pixels; in smaller pictures nothing can be recognised

_DOMAINS = ("source", "target")
_PARTS = ("train", "val")
_DEFAULT_COUNTS = {"source_train": 400, "target_train": 400, "source_val": 100, "target_val": 100}


@dataclass(frozen=True)
class DemoExample:
    """One picture, determined by these few numbers and drawn at every `read`.

    Attributes:
        key: readable name, unique in the data set.
        domain: "source" or "target".
        seed: seed of the picture, from the data set's seed, the domain and the index.
        size: height and width in pixels.
    """

    key: str
    domain: str
    seed: tuple[int, int, int]
    size: tuple[int, int]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Draws image uint8 `[H, W, 3]` and label uint8 `[H, W]` of train ids, 255 ignored."""
        return scene.render(self.seed, self.domain, self.size)


class Demo(BuiltIn):
    """Drawn street scenes of ten classes, in two domains.

    Args:
        seed: seed of the pictures. It belongs to the data set, and is independent of a run's seed.
        size: height and width in pixels.
        counts: number of examples by split, default for the others. A larger number appends
            examples and leaves the first ones as they are.

    Raises:
        UserError: negative seed, unknown split, no examples in a split, or a size that is too
            small.
    """

    name = "demo"
    kind: Kind = "pixels"
    label_set = LABEL_SETS["demo"]
    label_sets = (label_set,)
    splits = tuple(_DEFAULT_COUNTS)
    default_size = (96, 160)

    def __init__(
        self,
        seed: int = 0,
        size: tuple[int, int] = default_size,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        unknown = sorted(set(counts or ()) - set(_DEFAULT_COUNTS))
        if unknown:
            raise UserError(f"demo: counts names unknown splits {unknown}; {_choices()}.")
        self.seed = _integer("seed", seed, 0)
        if len(size) != 2:
            raise UserError(f"demo: size must be (height, width), not {tuple(size)}.")
        self.size = (_integer("height", size[0], SMALLEST), _integer("width", size[1], SMALLEST))
        merged = {**_DEFAULT_COUNTS, **(counts or {})}
        self.counts = {s: _integer(f"counts[{s!r}]", merged[s], 1) for s in self.splits}

    @property
    def fingerprint(self) -> str:
        """Generator version, digest of the styles, seed, size and counts."""
        styles = hashlib.sha256(repr(sorted(STYLES.items())).encode()).hexdigest()[:8]
        counts = "_".join(str(self.counts[split]) for split in self.splits)
        height, width = self.size
        return f"v{GENERATOR_VERSION}-{styles}-seed{self.seed}-{height}x{width}-{counts}"

    def examples(self, split: str, *, missing_ok: bool = False) -> list[DemoExample]:
        """Lists the examples of a split.

        Args:
            split: one of `splits`.
            missing_ok: ignored, since there are no files.

        Raises:
            UserError: unknown split.
        """
        del missing_ok
        if split not in self.splits:
            raise UserError(f"demo has no split {split!r}; {_choices()}.")
        domain, part = split.split("_")
        # Even indices train, odd ones validate: disjoint whatever the counts.
        first, step, number = _PARTS.index(part), len(_PARTS), _DOMAINS.index(domain)
        return [
            DemoExample(
                f"{split}_{i:06d}", domain, (self.seed, number, first + step * i), self.size
            )
            for i in range(self.counts[split])
        ]


def _choices() -> str:
    return f"choose from {list(_DEFAULT_COUNTS)}"


def _integer(name: str, value: int, smallest: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = smallest - 1
    if number < smallest:
        raise UserError(
            f"demo: {name} must be a whole number of at least {smallest}, not {value!r}."
        )
    return number
