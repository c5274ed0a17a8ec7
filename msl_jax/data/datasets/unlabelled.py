"""Images without their label files: all that an adaptation needs of a target."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from msl_jax.data.datasets.dataset import Dataset, FileExample, Kind
from msl_jax.data.datasets.file_dataset import FileDataset
from msl_jax.data.datasets.fingerprint import files_fingerprint
from msl_jax.data.labels import LabelSet


def without_labels(dataset: Dataset) -> Dataset:
    """The same images without label files; data sets that have none stay as they are."""
    if isinstance(dataset, FileDataset) and dataset.kind == "pixels":
        return Unlabelled(dataset)
    return dataset


@dataclass(frozen=True)
class Unlabelled:
    """A `Dataset` of the images of another one; label files are neither read nor asked for.

    Attributes:
        dataset: it has label files, or may have some.
    """

    dataset: FileDataset
    kind: ClassVar[Kind] = "pixels"

    @property
    def name(self) -> str:
        """That of the data set."""
        return self.dataset.name

    @property
    def label_set(self) -> LabelSet:
        """That of the data set."""
        return self.dataset.label_set

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the data set."""
        return self.dataset.splits

    @property
    def fingerprint(self) -> str:
        """Digest of the images of all splits."""
        found = {e.image_path for split in self.splits for e in self.dataset.pairs(split)}
        return f"unlabelled-{files_fingerprint(self.dataset.root, found)}"

    def examples(self, split: str, *, missing_ok: bool = False) -> list[FileExample]:
        """Lists the images of a split; see `FileDataset.examples`."""
        found = self.dataset.examples(split, missing_ok=True)
        if not missing_ok:
            self.dataset.expect_files("image", split, [example.image_path for example in found])
        return [dataclasses.replace(example, label_path=None) for example in found]

    def labelled(self, split: str) -> bool:
        """Never."""
        del split
        return False

    def expect_encoding(self, split: str) -> None:
        """There are no labels."""
