"""Work shared between processes: order, errors, and what the processes import."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import made
import pytest

from msl_jax.data.prepared import workers
from msl_jax.data.prepared.encoding import Encoder
from msl_jax.data.prepared.workers import WorkerLost, choose_processes, mapped
from msl_jax.runtime.errors import UserError

HERE = Path(__file__).parent


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order(processes: int) -> None:
    with mapped(made.double_slowly, range(30), processes) as results:
        assert list(results) == [2 * number for number in range(30)]


def test_only_a_few_results_are_kept_ahead() -> None:
    taken = []

    def note(number: int) -> int:
        taken.append(number)
        return number

    with mapped(note, range(1000), 1) as results:
        next(results)
        time.sleep(0.1)
        assert len(taken) < 200


def test_errors_of_other_processes_show_their_traceback() -> None:
    with (
        mapped(made.fail_at_two, range(4), 2) as results,
        pytest.raises(RuntimeError, match=r"(?s)in another process:.*fail_at_two.*ZeroDivision"),
    ):
        list(results)


def test_a_process_that_ends_is_an_error_with_advice() -> None:
    with (
        mapped(made.end_at_two, range(4), 2) as results,
        pytest.raises(WorkerLost, match=r"ended \(exit code 3\).*fewer processes"),
    ):
        list(results)


def test_unfinished_work_is_abandoned() -> None:
    began = time.monotonic()
    with mapped(made.sleep_long, range(4), 2):
        time.sleep(0.5)
    assert time.monotonic() - began < 10


def test_what_is_printed_stays_out_of_the_replies(capfd) -> None:
    with mapped(made.print_and_warn, range(3), 2) as results:
        assert list(results) == [0, 1, 2]
    assert capfd.readouterr().err.count("to stdout") == 3


def test_processes_load_no_more_than_they_need() -> None:
    with mapped(made.loaded_modules, range(2), 2) as results:
        loaded = set.union(*results)
    assert Encoder.__module__ not in loaded  # the function alone decides
    heavy = {"jax", "tensorflow_datasets", "tensorflow", "msl_jax.data.prepared.records"}
    assert not heavy & loaded


def test_encoding_needs_neither_jax_nor_tfds() -> None:
    code = "import sys; from msl_jax.data import check;"
    code += "from msl_jax.data.datasets import gta5, synthia, crosscity;"
    code += "from msl_jax.data.demo import dataset; from msl_jax.data.prepared import encoding;"
    code += "assert not {'jax', 'tensorflow_datasets', 'absl'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=HERE.parents[1], check=True)


SCRIPT = """
import sys
sys.path.append({here!r})
import made
from msl_jax.data.prepared.workers import mapped

def triple(number):
    return 3 * number

for function in (made.double_slowly, triple):  # the second one is not to be imported elsewhere
    with mapped(function, range(4), 2) as results:
        print(list(results))
"""


@pytest.mark.parametrize("how", ["file", "-c"])
def test_no_guard_of_the_main_module_is_needed(how: str, tmp_path: Path) -> None:
    code = SCRIPT.format(here=str(HERE))
    (tmp_path / "script.py").write_text(code)
    run = subprocess.run(
        [sys.executable, *(["script.py"] if how == "file" else ["-c", code])],
        cwd=tmp_path,
        env={"PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stderr, run.stdout) == ("", "[0, 2, 4, 6]\n[0, 3, 6, 9]\n")


def test_number_of_processes(monkeypatch) -> None:
    monkeypatch.setattr(workers, "_num_cores", lambda: 8)
    assert choose_processes(None, 10) == 1  # not worth a start
    assert choose_processes(None, 300) == 4
    assert choose_processes(None, 10_000) == 8
    assert choose_processes(3, 10_000) == choose_processes(5, 3) == 3
    assert choose_processes(2, 0) == choose_processes(None, 0) == 1
    with pytest.raises(UserError, match="num_processes must be at least 1, found 0"):
        choose_processes(0, 10)
