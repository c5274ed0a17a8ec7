"""Whole runs in this process, on two devices, with the tiny configuration."""

from __future__ import annotations

import dataclasses
import functools
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections.config_dict import ConfigDict
from quick_compilation import quick_compilation

from msl_jax.commands.train import train
from msl_jax.config.presets import complete
from msl_jax.data.datasets import digits
from msl_jax.evaluation import segmentation
from msl_jax.experiment import run as experiment_run
from msl_jax.methods.method import Training
from msl_jax.methods.registry import training_of
from msl_jax.runs.scalars import read_scalars
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import find

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = CONFIGS / "digits.py"
TINY_DIGITS: dict[str, Any] = {
    "model.width": 4,
    "method.discriminator_width": 8,
    "batch_size": 2,
    "eval_batch_size": 8,
    "source_steps": 4,
    "steps": 4,
    "eval_every": 2,
}


@pytest.fixture(autouse=True)
def _quick_compilation() -> Iterator[None]:
    with quick_compilation():
        yield


@pytest.fixture(scope="module", autouse=True)
def _no_quick_programs_elsewhere() -> Iterator[None]:
    yield
    jax.clear_caches()


@dataclasses.dataclass
class Run:
    """Configuration, folder and returned results of a run."""

    config: ConfigDict
    workdir: Path
    results: dict[str, Any]

    def variables(self, which: str = "") -> Any:
        """Weights of a checkpoint, `which` as at the end of a checkpoint's path."""
        return find(f"{self.workdir}{which}").load(build_model(self.config))

    def logged(self, stage: str) -> dict[str, dict[int, float]]:
        """What was logged of a stage's steps: by the part of the objective or a share, by step."""
        found = read_scalars(self.workdir / "logs" / stage)
        return {
            name.removeprefix("loss/"): points
            for name, points in found.items()
            if name.startswith("loss/") or name.endswith("_share")
        }


@pytest.fixture(scope="session")
def start() -> Callable[[ConfigDict, Path], Run]:
    """Function that trains a configuration in a folder, compiled as in the tests themselves."""

    def run(config: ConfigDict, workdir: Path) -> Run:
        with quick_compilation():
            return Run(config, workdir, train(config, str(workdir)))

    return run


@pytest.fixture(scope="module")
def shared_steps() -> Iterator[None]:
    """Runs of one configuration share their step and their evaluation in a file's tests.

    Else JAX would trace them again for each, which takes longer than all the steps. Not for tests
    that change what a step does.
    """
    trainings: dict[str, Training] = {}
    steps: dict[tuple[int, int], Any] = {}

    def shared(config: ConfigDict, model: Any, params: Any, *, adapt: bool) -> Training:
        fixed = {key: v for key, v in config.to_dict().items() if key != "init_from"}
        key = repr((fixed, adapt, model, jax.tree.map(np.shape, params)))
        if key not in trainings:
            trainings[key] = training_of(config, model, params, adapt=adapt)
        return trainings[key]

    def step(training: Training, *, accumulate: int = 1) -> Any:
        key = id(training), accumulate
        if key not in steps:
            steps[key] = compiled(training, accumulate=accumulate)
        return steps[key]

    compiled = Training.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment_run, "training_of", shared)
        patch.setattr(Training, "step", step)
        patch.setattr(segmentation, "_programs", functools.cache(segmentation._programs))
        yield


@pytest.fixture(scope="session")
def whole(start, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Both stages, with both heads, without interruption."""
    return start(tiny_config(), tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="session")
def source(start, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The source-only stage alone."""
    return start(tiny_config("source"), tmp_path_factory.mktemp("source") / "run")


@pytest.fixture(scope="module")
def made_digits() -> Iterator[None]:
    """A few images of noise in the place of the packages'."""
    rng = np.random.default_rng(0)
    arrays = {
        name: (rng.integers(0, 256, (30, *size), np.uint8), np.arange(30, dtype=np.uint8) % 10)
        for name, size in (("mnist", (28, 28)), ("uci", (8, 8)))
    }
    domains = {name: domain._replace(images=30) for name, domain in digits._DOMAINS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "_arrays", arrays.__getitem__)
        patch.setattr(digits, "_DOMAINS", domains)
        patch.setattr(digits.Digits, "fingerprint", "made")
        yield


@pytest.fixture(scope="module")
def digits_config(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ConfigDict]:
    records = str(tmp_path_factory.getbasetemp() / "records")
    get_config = runpy.run_path(str(DIGITS))["get_config"]

    def make(variant: str, **keys: Any) -> ConfigDict:
        config = get_config(variant)
        wanted = {**TINY_DIGITS, "records_dir": records, **keys}
        own = {f"method.{key}" for key in config.method}
        config.update_from_flattened_dict(
            {key: v for key, v in wanted.items() if not key.startswith("method.") or key in own}
        )
        return complete(config)

    return make


@pytest.fixture(scope="module")
def folders_config(tiny_keys: dict[str, Any]) -> Callable[[Path, Path], ConfigDict]:
    """Function that gives configs/folders.py for two roots, at a size that takes seconds."""
    get_config = runpy.run_path(str(CONFIGS / "folders.py"))["get_config"]

    def make(source: Path, target: Path) -> ConfigDict:
        config = get_config("source")
        keys = {**tiny_keys, "source_steps": 2, "source_poly_steps": 2, "data_root": ""}
        config.update_from_flattened_dict(keys)
        config.update({"source_root": str(source), "target_root": str(target)})
        return config

    return make
