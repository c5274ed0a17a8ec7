"""What SIGTERM and SIGINT do to a command."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from msl_jax.runtime import stopping
from msl_jax.runtime.command_line import guard

ROOT = Path(__file__).parents[1]


def _send(number: int) -> None:
    os.kill(os.getpid(), number)


def _interrupted(number: int) -> None:
    _send(number)
    pytest.fail("went on")


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_interrupts_what_has_nothing_to_lose(number: int) -> None:
    with pytest.raises(stopping.Stopped), stopping.handled(), stopping.at_once():
        _interrupted(number)


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_work_that_asks_is_not_interrupted(number: int) -> None:
    with stopping.handled(), stopping.delayed():
        assert not stopping.requested()
        _send(number)
        assert stopping.requested()
        with pytest.raises(stopping.Stopped), stopping.at_once():
            pytest.fail("began what would be interrupted")


def test_part_of_such_work_can_be_interrupted() -> None:
    with stopping.handled(), stopping.delayed():
        with pytest.raises(stopping.Stopped), stopping.at_once():
            _interrupted(signal.SIGTERM)
        _send(signal.SIGTERM)  # again: what is being kept now is not disturbed


def test_signal_while_the_handlers_are_set_up() -> None:
    with stopping.handled():
        _send(signal.SIGTERM)  # is not lost
        with pytest.raises(stopping.Stopped), stopping.at_once():
            pytest.fail("began what would be interrupted")


def test_handlers_are_as_before_afterwards() -> None:
    numbers = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
    before = [signal.getsignal(number) for number in numbers]
    with stopping.handled():
        assert [signal.getsignal(number) for number in stopping.SIGNALS] != before
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "SIGINT")]
)
@pytest.mark.parametrize("kept", ["", "after step 7 of oracle"])
def test_command_leaves_with_message_and_code(
    capsys: pytest.CaptureFixture[str], number: int, code: int, name: str, kept: str
) -> None:
    def command() -> None:
        if not kept:
            _send(number)
        with stopping.delayed():
            _send(number)
        raise stopping.Stopped(kept)

    with pytest.raises(SystemExit) as left:
        guard(command, "start it again")
    assert left.value.code == code
    space = " " if kept else ""
    assert f"stopped by {name}{space}{kept}; start it again\n" in capsys.readouterr().err


class _Extension(ExtensionFileLoader):
    """Stands for a module in C that is being imported when signals arrive."""

    def __init__(self, *numbers: int) -> None:
        super().__init__("module", "module.so")
        self.numbers, self.initialized = numbers, False

    def exec_module(self, module: ModuleType) -> None:
        for number in self.numbers:
            _send(number)
        time.sleep(0.2)
        self.initialized = True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_module_in_c_is_imported_to_its_end(
    capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    """Interrupted within, NumPy or ml_dtypes ends the process with a segmentation fault."""
    loader = _Extension(number)

    def command() -> None:
        loader.exec_module(ModuleType("module"))
        time.sleep(5)
        pytest.fail("was not interrupted")

    start = time.monotonic()
    with pytest.raises(SystemExit) as left:
        guard(command, "start it again")
    assert loader.initialized
    assert time.monotonic() - start < 4
    assert left.value.code == code
    assert f"stopped by {signal.Signals(number).name}; start it" in capsys.readouterr().err


def _drop() -> None:
    with contextlib.suppress(stopping.Stopped):
        _send(signal.SIGTERM)


def _drop_while_an_error_is_handled() -> None:
    try:
        raise KeyError
    except KeyError:
        _drop()
        time.sleep(5)


def _drop_before_a_part_that_saves() -> None:
    _drop()
    with stopping.delayed():
        time.sleep(0.2)


@pytest.mark.parametrize(
    "drop", [_drop, _drop_while_an_error_is_handled, _drop_before_a_part_that_saves]
)
def test_interruption_that_is_dropped_comes_again(
    capsys: pytest.CaptureFixture[str], drop: Callable[[], None]
) -> None:
    """Code in C that calls Python may go on as if nothing had been raised."""

    def command() -> None:
        drop()
        time.sleep(5)
        pytest.fail("was not interrupted again")

    start = time.monotonic()
    with pytest.raises(SystemExit) as left:
        guard(command, "start it again")
    assert time.monotonic() - start < 4
    assert left.value.code == 143
    assert "stopped by SIGTERM; start it again\n" in capsys.readouterr().err


def test_command_of_a_module_that_is_being_imported(tmp_path: Path) -> None:
    """What surrounds the command does not count."""
    (tmp_path / "wrapper.py").write_text(
        "import os, signal, time\n"
        "from msl_jax.runtime.command_line import guard\n"
        "def command():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
        "guard(command, 'start it again')\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-c", "import wrapper"]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, timeout=50)
    assert ended.returncode == 143


def test_cleaning_up_is_not_interrupted() -> None:
    cleaned = []

    def command() -> None:
        try:
            _send(signal.SIGTERM)
        finally:
            for _ in range(20):
                time.sleep(0.01)
            cleaned.append(True)

    with pytest.raises(SystemExit):
        guard(command, "start it again")
    assert cleaned == [True]


def test_cleaning_up_of_work_that_has_stopped_itself(capsys: pytest.CaptureFixture[str]) -> None:
    cleaned = []

    def command() -> None:
        try:
            with stopping.delayed():
                _send(signal.SIGTERM)
                raise stopping.Stopped("after step 7 of oracle")
        finally:
            with contextlib.suppress(OSError):
                raise OSError
            time.sleep(0.2)
            cleaned.append(True)

    with pytest.raises(SystemExit):
        guard(command, "start it again")
    assert cleaned == [True]
    assert "stopped by SIGTERM after step 7 of oracle; start" in capsys.readouterr().err


def test_collection_of_garbage_is_not_interrupted() -> None:
    """Python would ignore it there, with a traceback, which is an error in these tests."""
    done = []

    def callback(phase: str, info: dict) -> None:
        if phase == "start" and not done:
            _send(signal.SIGTERM)
            done.append(True)

    def command() -> None:
        gc.collect()
        assert done == [True]
        time.sleep(5)
        pytest.fail("was not interrupted")

    gc.callbacks.append(callback)
    try:
        with pytest.raises(SystemExit) as left:
            guard(command, "start it again")
    finally:
        gc.callbacks.remove(callback)
    assert left.value.code == 143


def test_command_that_ends_with_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to interrupt it later does not come after it."""
    monkeypatch.setattr(stopping, "_AGAIN_S", 1.0)
    guard(lambda: _Extension(signal.SIGTERM).exec_module(ModuleType("module")), "start it again")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    time.sleep(1.1)  # would end this process


def test_interruption_that_other_code_makes_an_error_of(capsys: pytest.CaptureFixture[str]) -> None:
    """As C++ code that calls Python may."""

    def command() -> None:
        try:
            _send(signal.SIGTERM)
        except BaseException as error:
            raise ImportError("initialization failed") from error

    with pytest.raises(SystemExit) as left:
        guard(command, "start it again")
    assert left.value.code == 143
    assert "stopped by SIGTERM; start it again\n" in capsys.readouterr().err


def test_error_of_work_that_was_not_interrupted() -> None:
    def command() -> None:
        with stopping.delayed():
            _send(signal.SIGTERM)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guard(command, "start it again")


_BUSY = """
import hashlib
from msl_jax.runtime import stopping
with stopping.handled(), stopping.delayed():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10**9)  # no line of Python for minutes
"""


def test_second_interrupt_leaves_at_once_even_out_of_a_long_call() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _BUSY],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            assert "press Ctrl-C again to quit at once" in process.stderr.readline()
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
        finally:
            process.kill()
