"""Records prepared from the small CamVid tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from msl_jax.data import prepare as prepare_command
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


@pytest.fixture
def run_prepare(capfd, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Function that runs the prepare command in this process: exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            prepare_command.main(
                [str(word) for word in (*arguments, "--records_dir", tmp_path / "records")]
            )
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capfd.readouterr()

    return call
