"""Compiled programs are kept between runs, and nothing about that can stop or clutter a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import pytest

from msl_jax.runtime import compilation_cache
from msl_jax.runtime.compilation_cache import keep_compiled_programs

ROOT = Path(__file__).parents[2]
KEYS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A user without a cache of their own and with an empty home."""
    before = {key: getattr(jax.config, key) for key in KEYS}
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.delenv(name, raising=False)
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    yield
    for key, value in before.items():
        jax.config.update(key, value)


def _state() -> tuple[str | None, float]:
    return tuple(getattr(jax.config, key) for key in KEYS)


@pytest.mark.parametrize(
    ("xdg", "place"),
    [
        (None, "home/.cache/msl_jax/compilation"),
        ("", "home/.cache/msl_jax/compilation"),
        ("relative", "home/.cache/msl_jax/compilation"),
        ("{here}/cache", "cache/msl_jax/compilation"),
    ],
)
def test_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys, xdg: str | None, place: str
) -> None:
    if xdg is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", xdg.format(here=tmp_path))
    keep_compiled_programs()
    assert _state() == (str(tmp_path / place), 0.0)
    assert (tmp_path / place).stat().st_mode & 0o777 == 0o700
    assert capsys.readouterr() == ("", "")


def test_cache_in_which_others_can_write(tmp_path: Path, capsys) -> None:
    """JAX runs what it finds there."""
    folder = tmp_path / "home" / ".cache" / "msl_jax" / "compilation"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    keep_compiled_programs()
    assert _state() == (None, 1.0)
    said = capsys.readouterr().err
    assert said.startswith(f"note: compiled programs are not kept: {folder}: others can write")
    assert list(folder.iterdir()) == []


def test_folder_above_in_which_others_can_write(tmp_path: Path, monkeypatch, capsys) -> None:
    """They could put a folder of their own in its place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    above = tmp_path / "cache" / "msl_jax"
    above.mkdir(parents=True)
    for open_to_all in (above, above.parent):
        open_to_all.chmod(0o777)
        keep_compiled_programs()
        assert _state() == (None, 1.0)
        said = capsys.readouterr().err
        assert f"/compilation: others can write to {open_to_all} and" in said
        open_to_all.chmod(0o1777)  # as /tmp: nobody can rename what is another's
        keep_compiled_programs()
        assert _state() == (str(above / "compilation"), 0.0)
        assert capsys.readouterr().err == ""
        jax.config.update("jax_compilation_cache_dir", None)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
        open_to_all.chmod(0o755)


@pytest.mark.parametrize(
    ("owner", "mode", "group", "expected"),
    [
        (1000, 0o755, 50, False),
        (1000, 0o775, 50, True),
        (1000, 0o775, 1000, False),
        (1000, 0o777, 1000, True),
        (1000, 0o1777, 50, False),
        (0, 0o1777, 50, False),
        (1001, 0o1777, 50, True),
    ],
)
def test_who_can_replace_a_folder(
    monkeypatch: pytest.MonkeyPatch, owner: int, mode: int, group: int, expected: bool
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    folder = SimpleNamespace(st_uid=owner)
    above = SimpleNamespace(st_mode=mode, st_gid=group)
    assert compilation_cache._is_replaceable(folder, above) is expected


def test_cache_that_the_user_chose_is_left_alone(tmp_path: Path) -> None:
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    keep_compiled_programs()
    assert _state() == ("elsewhere", 1.0)
    assert list(tmp_path.iterdir()) == []


def test_turned_off(tmp_path: Path) -> None:
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        keep_compiled_programs()
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert _state() == (None, 1.0)
    assert list(tmp_path.iterdir()) == []


def test_threshold_that_the_user_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1.0")
    keep_compiled_programs()
    assert _state()[1] == 1.0


def _file_in_the_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    (tmp_path / "home").write_text("mine")
    return "Not a directory"


def _read_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    return "compilation: cannot be written"


def _nearly_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setattr(compilation_cache, "LIMIT", 1 << 60)
    return "compilation: the disk is nearly full"


def _no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    return "home directory"


@pytest.mark.parametrize("obstacle", [_file_in_the_way, _read_only, _nearly_full, _no_home])
def test_folder_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys, obstacle
) -> None:
    reason = obstacle(monkeypatch, tmp_path)
    keep_compiled_programs()
    assert _state() == (None, 1.0)
    note = capsys.readouterr().err
    assert note.startswith("note: compiled programs are not kept: ")
    assert reason in note
    assert note.count("\n") == 1


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was used longest ago goes, by the last reading or writing."""
    folder = tmp_path / "home" / ".cache" / "msl_jax" / "compilation"
    (folder / "below").mkdir(parents=True)
    ages = {"old": (9, 9), "read": (1, 9), "below/old": (8, 9), "new": (2, 2), "large": (3, 3)}
    for name, times in ages.items():
        (folder / name).write_bytes(b"x" * (500 if name == "large" else 100))
        os.utime(folder / name, tuple(1_000_000 - time for time in times))
    monkeypatch.setattr(compilation_cache, "LIMIT", 300)
    keep_compiled_programs()
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"read", "new"}
    assert _state()[0] == str(folder)


SCRIPT = """
import sys
from msl_jax.runtime import command_line
assert "jax" not in sys.modules  # or its import would come before XLA's messages are set
from msl_jax.runtime.compilation_cache import keep_compiled_programs
import jax
keep_compiled_programs()
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name.endswith("/cache_hits")))
for power in range(8):
    assert float(jax.jit(lambda x: (x + power) ** 2)(3.0)) == (3 + power) ** 2
print(sum(hits))
"""


class Process(NamedTuple):
    """A process that compiles eight programs."""

    running: subprocess.Popen[str]

    @classmethod
    def start(cls) -> Process:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "TF_"))}
        return cls(
            subprocess.Popen(
                [sys.executable, "-c", SCRIPT],
                cwd=ROOT,
                env={**environment, "JAX_PLATFORMS": "cpu"},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    def hits(self) -> int:
        """Programs that it found in the cache; it must have been silent."""
        out, err = self.running.communicate(timeout=120)
        assert (self.running.returncode, err) == (0, "")
        return int(out)


def test_processes_share_it_and_survive_damage(tmp_path: Path) -> None:
    for process in [Process.start(), Process.start()]:  # both write at the same time
        process.hits()
    assert Process.start().hits() >= 8
    folder = tmp_path / "home" / ".cache" / "msl_jax" / "compilation"
    entries = list(folder.glob("*-cache"))
    assert len(entries) >= 8
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:100])  # as a full disk leaves it
    assert Process.start().hits() == 0
