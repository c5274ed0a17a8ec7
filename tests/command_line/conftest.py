"""Commands run in this process, since each process takes seconds to import JAX."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grain  # noqa: F401  defines absl flags: before `command` takes a script's flags away
import pytest
from absl import flags

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
