"""What labels hold, counted while they are read and put into words the same way everywhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.listing import counted
from msl_jax.runtime.errors import UserError

# Remarks on single labels, after "N labels".
EMPTY = "without a pixel that counts"


@dataclass
class LabelCounts:
    """Counts of the labels of a split; they add up.

    Attributes:
        labels: number of labels.
        pixels: number of pixels of each train id, `IGNORE` included; of images if each has one
            label.
        occurs: number of labels with each train id.
        remarks: number of labels that each remark applies to.
        examples: key of the first of them.
    """

    labels: int = 0
    pixels: Counter[int] = field(default_factory=Counter)
    occurs: Counter[int] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, other: LabelCounts) -> None:
        """Adds the counts of labels that come later."""
        self.labels += other.labels
        self.pixels.update(other.pixels)
        self.occurs.update(other.occurs)
        self.remarks.update(other.remarks)
        self.examples = {**other.examples, **self.examples}

    @property
    def counted(self) -> int:
        """Number of pixels that count."""
        return self.pixels.total() - self.pixels[IGNORE]

    def absent(self, label_set: LabelSet) -> list[str]:
        """Classes that occur in no label."""
        return [name for index, name in enumerate(label_set.names) if not self.pixels[index]]

    def lines(self, title: str, label_set: LabelSet) -> list[str]:
        """What a user should know of the labels; nothing if all classes and all pixels count.

        Args:
            title: DATASET/SPLIT.
            label_set: their classes.
        """
        if not self.labels:
            return []
        found, all_labels = [], counted(self.labels, "label")
        if absent := self.absent(label_set):
            found.append(f"{len(absent)} of {counted(label_set.num_classes, 'class', 'classes')}")
            found[-1] += f" in no label: {', '.join(absent)}"
        if self.pixels[IGNORE]:
            share = self.pixels[IGNORE] / self.pixels.total()
            found.append(f"{share:.1%} of the pixels in {all_labels} ignored")
            if len(absent) == label_set.num_classes - 1 > 0:
                found[-1] += ": masks of 0 and 255? Write the id of a class in place of 255."
        for remark, number in self.remarks.items():
            found.append(f"{counted(number, 'label')} {remark}: {self.examples[remark]}")
        return [f"{title}: {text}" for text in found]

    def expect_any(self, title: str) -> None:
        """Checks that the labels, if there are any, teach and measure something.

        Raises:
            UserError: not one pixel counts.
        """
        if self.labels and not self.counted:
            raise UserError(
                f"{title}: not one pixel counts in {counted(self.labels, 'label')}; all are ignored"
                " (255 never counts). Fix the labels, or remove them if there are none to be used."
            )

    def as_json(self) -> dict[str, Any]:
        """For `from_json`."""
        return {
            "labels": self.labels,
            "pixels": sorted(self.pixels.items()),
            "occurs": sorted(self.occurs.items()),
            "remarks": [[text, n, self.examples[text]] for text, n in self.remarks.items()],
        }

    @classmethod
    def from_json(cls, content: Any) -> LabelCounts:
        """Counts from what `as_json` gave."""
        return cls(
            content["labels"],
            Counter(dict(content["pixels"])),
            Counter(dict(content["occurs"])),
            Counter({text: number for text, number, _ in content["remarks"]}),
            {text: key for text, _, key in content["remarks"]},
        )


def count_label(label: np.ndarray | None, key: str, *remarks: str) -> LabelCounts:
    """Counts one label.

    Args:
        label: uint8 `[H, W]` or `()` of train ids; None if there is none.
        key: of its example.
        remarks: on it.
    """
    if label is None:
        return LabelCounts()
    numbers = np.bincount(label.ravel(), minlength=IGNORE + 1)
    pixels = Counter({int(index): int(numbers[index]) for index in np.flatnonzero(numbers)})
    if not numbers[:IGNORE].any():
        remarks = (*remarks, EMPTY)
    return LabelCounts(
        1, pixels, Counter(pixels.keys()), Counter(remarks), dict.fromkeys(remarks, key)
    )
