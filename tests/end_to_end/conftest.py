"""Whole runs in this process, on two devices, with the tiny configuration."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from ml_collections.config_dict import ConfigDict

from msl_jax.commands.train import train
from msl_jax.parts import build_model
from msl_jax.weights import find


@contextlib.contextmanager
def _quick_compilation() -> Iterator[None]:
    """Compiles in half the time; what the optimised programs compute is tested elsewhere."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(autouse=True)
def quick_compilation() -> Iterator[None]:
    with _quick_compilation():
        yield


@dataclasses.dataclass
class Run:
    """Configuration, folder and returned results of a run."""

    config: ConfigDict
    workdir: Path
    results: dict[str, Any]

    def variables(self, which: str = "") -> Any:
        """Weights of a checkpoint, `which` as at the end of a checkpoint's path."""
        return find(f"{self.workdir}{which}").load(build_model(self.config))


@pytest.fixture(scope="session")
def start() -> Callable[[ConfigDict, Path], Run]:
    """Function that trains a configuration in a folder, compiled as in the tests themselves."""

    def run(config: ConfigDict, workdir: Path) -> Run:
        with _quick_compilation():
            return Run(config, workdir, train(config, str(workdir)))

    return run


@pytest.fixture(scope="session")
def whole(start, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Both stages, with both heads, without interruption."""
    return start(tiny_config(), tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="session")
def source(start, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The source-only stage alone."""
    return start(tiny_config("source"), tmp_path_factory.mktemp("source") / "run")
