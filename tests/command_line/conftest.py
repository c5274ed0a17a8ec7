"""Commands run in this process, since each process takes seconds to import JAX."""

from __future__ import annotations

import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grain  # noqa: F401  defines absl flags: before `command` takes a script's flags away
import numpy as np
import optax
import pytest
from absl import flags
from ml_collections.config_dict import ConfigDict
from PIL import Image

from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.workdir import claim_workdir
from msl_jax.tasks.registry import build_model
from msl_jax.training.state import TrainState

ROOT = Path(__file__).parents[2]


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Outcome]:
    """Function that runs a script with arguments, in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(script: str, *args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", [script, *map(str, args)])
        known = set(flags.FLAGS)
        capsys.readouterr()
        code: Any = 0
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as exit_:
            code = exit_.code or 0
        finally:
            # Flags are global: the next script defines its own again.
            flags.FLAGS.unparse_flags()
            for name in set(flags.FLAGS) - known:
                delattr(flags.FLAGS, name)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(command, tmp_path: Path, snapshot) -> Callable[..., str]:
    """Function that runs a command that must fail with one message, which it returns."""

    def run(script: str, *args: object, code: int = 1) -> str:
        before = snapshot(tmp_path)
        outcome = command(script, *args)
        assert outcome.code == code
        assert outcome.out == ""
        assert outcome.err.startswith("error: ")
        assert outcome.err.count("error: ") == 1
        assert "Traceback" not in outcome.err
        assert snapshot(tmp_path) == before  # no workdir, no output, data left as they were
        return outcome.err

    return run


@pytest.fixture(scope="session")
def tiny_flags(tiny_keys: dict[str, Any]) -> Callable[..., list[str]]:
    """Function that gives the flags of the tiny configuration; arguments are further keys."""

    def make(**keys: object) -> list[str]:
        return [f"--config.{key}={value}" for key, value in {**tiny_keys, **keys}.items()]

    return make


@pytest.fixture(scope="session")
def write_run() -> Callable[[Path, ConfigDict, Any], Path]:
    """Function that writes a run's folder, with its variables as the checkpoint of step 4."""

    def write(folder: Path, config: ConfigDict, variables: Any) -> Path:
        claim_workdir(folder, config, config)
        checkpoints = Checkpoints(folder / "source")
        state = TrainState.create(variables, optax.trace(0.9)).replace(step=np.array(4, np.int32))
        checkpoints.save(state, {}, {"target": {"miou": 0.5}})
        return folder

    return write


@pytest.fixture(scope="session")
def tiny_run(
    write_run: Callable[[Path, ConfigDict, Any], Path],
    tiny_config: Callable[..., ConfigDict],
    random_variables: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Any]:
    """A run's folder, to be left as it is, and the variables of its checkpoint."""
    config = tiny_config("source")
    variables = random_variables(build_model(config))
    return write_run(tmp_path_factory.mktemp("tiny") / "run", config, variables), variables


@pytest.fixture
def run(tiny_run: tuple[Path, Any], tmp_path: Path) -> Path:
    """The run's folder, to be damaged."""
    return Path(shutil.copytree(tiny_run[0], tmp_path / "run"))


@pytest.fixture
def predict(command, tiny_run: tuple[Path, Any]) -> Callable[..., Any]:
    """Function that runs predict.py with an input, an output and further arguments."""

    def run(source: Path | str, output: Path | str, *args: object, using=command, of=None) -> Any:
        given = (f"--checkpoint={of or tiny_run[0]}", f"--input={source}", f"--output={output}")
        return using("predict.py", *given, *args)

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five photos of noise in three sizes."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(5):
        noise = rng.integers(0, 256, (20 + i % 3, 30, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"p{i}.jpg")
    return tmp_path / "photos"


@pytest.fixture
def results() -> Callable[[Path], dict[str, bytes]]:
    """Function that gives the contents of a folder's files, by their paths in it."""

    def read(output: Path) -> dict[str, bytes]:
        found = (path for path in output.rglob("*") if path.is_file())
        return {str(path.relative_to(output)): path.read_bytes() for path in found}

    return read
