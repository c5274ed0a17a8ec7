"""How target images are labelled in rounds, for methods that train on the network's own labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Labelling:
    """Settings; the attributes are the keys `config.method` of the same names.

    Attributes:
        rounds: number of them, evenly spread over the steps.
        portion: share of each class that the first round labels.
        portion_step: added to it in each further round.
        portion_limit: which the share does not exceed.
        threshold_every: thresholds are taken from every so many pixels of a class in an image.
        label_scale: size of the images that are labelled, in parts of their own.
        label_flip: average with the mirrored image.
        image_share: of the images, those that the network is most sure of before the first round.
        mining_chance: of a crop round a pixel of a rare class, where an image has one.
        mining_share: of the predicted pixels, below which a class is rare.
        alpha: of soft labels; None for hard ones.
        spatial_prior: file of the prior, empty where the run counts it; None for a method without.
    """

    rounds: int = 3
    portion: float = 0.2
    portion_step: float = 0.05
    portion_limit: float = 0.5
    threshold_every: int = 4
    label_scale: float = 0.9
    label_flip: bool = True
    image_share: float = 1.0
    mining_chance: float = 0.8
    mining_share: float = 0.001
    alpha: float | None = None
    spatial_prior: str | None = None

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Labelling:
        """That of a configuration's group `method`."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in keys.items() if name in names})

    def portion_of(self, number: int) -> float:
        """The share of a round, from 0.

        >>> [round(Labelling().portion_of(number), 2) for number in (0, 2, 9)]
        [0.2, 0.3, 0.5]
        """
        return min(self.portion + self.portion_step * number, self.portion_limit)

    def ends(self, steps: int) -> tuple[int, ...]:
        """Number of steps made at the end of each round, of `steps` in all.

        >>> Labelling(rounds=3).ends(10)
        (3, 6, 10)
        """
        return tuple(number * steps // self.rounds for number in range(1, self.rounds + 1))
