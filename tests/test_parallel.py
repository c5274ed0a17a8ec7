"""What processes agree on: in one process here, and in two real ones that run a script."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import numpy as np
import pytest
from processes import run_together

from msl_jax.runtime import connection, parallel
from msl_jax.runtime.errors import UserError

LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
OWN = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


@pytest.fixture
def initialized(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The arguments of `jax.distributed.initialize`, which fails."""
    calls: list[dict] = []

    def initialize(**arguments) -> None:
        calls.append(arguments)
        raise RuntimeError("nobody is there")

    for name in (*LAUNCHERS, *OWN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("jax.distributed.initialize", initialize)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return calls


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_STEP_NUM_TASKS": "1"},
        {"OMPI_COMM_WORLD_SIZE": "1"},
        dict(zip(OWN, ("10.0.0.1:1234", "1", "0"), strict=True)),
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "3"},
    ],
)
def test_one_process_connects_to_nothing(environment, initialized, monkeypatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    connection.connect()
    assert initialized == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_STEP_NUM_TASKS": "8"}, {}),  # JAX reads these variables itself
        ({"OMPI_COMM_WORLD_SIZE": "8"}, {}),
        (
            dict(zip(OWN, ("10.0.0.1:1234", "8", "3"), strict=True)),
            {"num_processes": 8, "process_id": 3, "cluster_detection_method": "deactivate"},
        ),
    ],
)
def test_several_processes_are_found(environment, expected, initialized, monkeypatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"cannot connect to the other.*nobody is there"):
        connection.connect()
    assert initialized == [{**expected, "initialization_timeout": 600}]  # after we have given up


ALONE = """
import sys
from msl_jax.runtime import connection
from msl_jax.runtime.command_line import guard
connection._MEETING, connection._TOLD_AFTER = float(sys.argv[1]), 0.5
guard(connection.connect, "stopped")
"""


def _alone(index: int, seconds: float) -> subprocess.Popen[str]:
    """Process `index` of two, the other of which never comes."""
    values = ("127.0.0.1:9", "2", str(index))  # where nobody may listen
    if index == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            values = (f"127.0.0.1:{probe.getsockname()[1]}", "2", "0")
    return subprocess.Popen(
        [sys.executable, "-c", ALONE, str(seconds)],
        env={**os.environ, **dict(zip(OWN, values, strict=True))},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("index", [0, 1])
def test_others_that_never_come(index: int) -> None:
    """JAX would abort the process with a trace of C++."""
    alone = _alone(index, 2.0)
    waiting, error = alone.communicate(timeout=60)[1].splitlines()
    assert alone.returncode == 1
    assert waiting.startswith("waiting for the other processes of this run at 127.0.0.1:")
    assert error.startswith("error: the processes of this run have not met at 127.0.0.1:")
    assert "within 2 seconds" in error


def test_stop_while_waiting_for_the_others() -> None:
    with _alone(1, 600.0) as alone:
        assert alone.stderr.readline().startswith("waiting for")
        alone.terminate()
        # A signal in the midst of a line may print it twice.
        assert alone.stderr.read().endswith("stopped by SIGTERM; stopped\n")
    assert alone.returncode == 143


@pytest.mark.parametrize("host", ["nosuch.invalid", "999.1.1.1", "x" * 70])
def test_host_that_nobody_knows(host: str, initialized, monkeypatch) -> None:
    for name, value in zip(OWN, (f"{host}:1234", "2", "0"), strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"JAX_COORDINATOR_ADDRESS='{host}:1234': {host} is no"):
        connection.connect()
    assert initialized == []
    # A pod may begin before the name of the first one is known.
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(UserError, match="nobody is there"):
        connection.connect()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JAX_PROCESS_ID": "1"}, "JAX_PROCESS_ID set, but not JAX_COORDINATOR_ADDRESS, JAX_NUM_"),
        (dict(zip(OWN, ("a:1", "two", "0"), strict=True)), "JAX_NUM_PROCESSES='two': expected an"),
    ],
)
def test_wrong_environment(environment, message, initialized, monkeypatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        connection.connect()
    assert initialized == []


def test_one_process_does_the_plain_thing() -> None:
    assert parallel.is_first()
    assert parallel.share() == (0, 1)
    for call in (parallel.together, parallel.first_then_others, parallel.by_first):
        assert call(lambda: 3) == 3
        with pytest.raises(UserError, match="mine"):
            call(_raise_mine)
    assert parallel.read_by_first(lambda: ("tree", "rest"), "like") == ("tree", "rest")
    counts = np.array([[2**40]])
    assert parallel.total(counts) is counts
    answers = iter([False, True])
    stop = parallel.StopAgreement(lambda: next(answers))
    assert [stop(), stop()] == [False, True]


def _raise_mine() -> None:
    raise UserError("mine")


SCRIPT = """
import os, signal, sys, time
import jax, numpy as np
from msl_jax.runtime import connection, parallel
from msl_jax.runtime.errors import UserError

requested = []
signal.signal(signal.SIGTERM, lambda *_: requested.append(True))
connection.connect()
index, count = parallel.share()
assert (count, jax.device_count(), jax.local_device_count()) == (2, 2, 1)
assert parallel.is_first() == (index == 0)

# Process 0 begins, the other one when it is through; its result is everyone's.
began = parallel.first_then_others(lambda: (time.sleep(0.5 * (index == 0)), time.time())[1])
print("began", began)
found = parallel.by_first(lambda: {"index": index, "text": "\\u00e4"})
assert found == {"index": 0, "text": "\\u00e4"}
def fail_in(process):
    if index == process:
        raise UserError(f"of {process}")
for by in (0, 1):
    try:
        parallel.together(lambda: fail_in(by))
    except UserError as error:
        print("raised", error)

# Arrays bit for bit.
mine = {"a": np.array([-0.0, np.nan, 1e-42, 0.1], np.float32), "b": np.int32(7)}
like = jax.tree.map(np.zeros_like, mine)
tree, rest = parallel.read_by_first(lambda: (mine, [1, None]), mine if index == 0 else like)
assert jax.tree.map(lambda a: np.asarray(a).tobytes(), tree) == jax.tree.map(
    lambda a: np.asarray(a).tobytes(), mine
)
assert tree["b"].shape == () and rest == [1, None]
counts = np.array([[2**40 + index, 3], [-1, index]])
assert parallel.total(counts).tolist() == [[2**41 + 1, 6], [-2, 1]]
assert parallel.total(counts).dtype == np.int64

# A stop.
stop = parallel.StopAgreement(lambda: bool(requested))
for step in range(100):
    if (index, step) == (1, 20):
        os.kill(os.getpid(), signal.SIGTERM)
    if stop():
        break
print("stopped", step)
"""


def test_two_processes() -> None:
    ended = run_together(2, "-W", "error", "-c", SCRIPT)
    for process in ended:
        assert process.code == 0, process.err
    began = [float(re.search(r"began ([\d.]+)", process.out)[1]) for process in ended]
    assert began[1] >= began[0]
    raised = [re.findall("raised (.*)", process.out) for process in ended]
    assert raised == [["of 0", "process 1: of 1"], ["process 0: of 0", "of 1"]]
    # One step after the signal, in both.
    assert [re.search(r"stopped (\d+)", process.out)[1] for process in ended] == ["21", "21"]
