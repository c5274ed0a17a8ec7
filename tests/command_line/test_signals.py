"""A scheduler ends a training and starts it again."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jax
import pytest
import quick_compilation

from benchmarks.support.training_process import TrainingProcess

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_training_that_is_asked_to_stop(
    tiny_flags: Callable[..., list[str]], tmp_path: Path, number: int, code: int
) -> None:
    keys = {"source_steps": 2000, "eval_every": 2000, "log_every": 1}
    arguments = [f"--config={ROOT / 'configs' / 'camvid_scratch.py'}:source", *tiny_flags(**keys)]
    environment = {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        **quick_compilation.environment(),
    }
    with TrainingProcess([*arguments, f"--workdir={tmp_path / 'run'}"], environment) as process:
        while not process.progress:
            assert process.wait(0.01) is None, process.printed
        lock = json.loads((tmp_path / "run" / "training.lock").read_text())
        assert lock["process"] == process.pid
        process.send(number)
        assert process.wait(60) == code
    (kept,) = (tmp_path / "run" / "stopped" / "source").iterdir()
    message = process.printed.splitlines()[-1]
    name = signal.Signals(number).name
    assert message.startswith(f"stopped by {name} after step {kept.name} of source-only; ")
    assert "same command continues" in message
    assert "Traceback" not in process.printed
    assert "error" not in process.printed
    assert not (tmp_path / "run" / "training.lock").exists()
    assert not (tmp_path / "run" / "results.json").exists()


def test_training_that_is_stopped_before_its_first_step(
    tiny_flags: Callable[..., list[str]], tmp_path: Path
) -> None:
    """While it reads its data, or prepares them."""
    with TrainingProcess([*tiny_flags(), f"--workdir={tmp_path / 'run'}"]) as process:
        while _ignores(process.pid, signal.SIGTERM):
            assert process.wait(0.01) is None, process.printed
        process.send(signal.SIGTERM)
        assert process.wait(60) == 143, process.printed
    last = process.printed.splitlines()[-1]
    assert last.startswith("stopped by SIGTERM; the same command "), process.printed
    if "Exception ignored in" not in process.printed:  # as Python says of what it drops
        assert "Traceback" not in process.printed
    assert not list(tmp_path.glob("run/*/*/[0-9]*"))


def _ignores(pid: int, number: int) -> bool:
    """Whether a process has no handler of its own for a signal yet."""
    time.sleep(0.01)
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return not caught & (1 << (number - 1))
