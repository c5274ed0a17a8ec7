"""Records prepared from the small CamVid tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.prepared.records import Records, prepare

SIZE = (24, 32)


@pytest.fixture(scope="session")
def prepared(
    shared_camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Records]:
    """Function that prepares a split of a shared tree."""
    dataset = CamVid(shared_camvid_tree)
    records_dir = tmp_path_factory.mktemp("records")

    def make(split: str, **kwargs: object) -> Records:
        return prepare(dataset, split, SIZE, records_dir, **kwargs)

    return make
