"""What the shell and the machine do to a command: one line each, and no work is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Prints in the middle of its work, then leaves a file.
WORK = """
import sys, time
from pathlib import Path
from msl_jax.runtime.command_line import guard
def work():
    for line in range(3):
        print(line, flush=True)
        print(line, file=sys.stderr)
        time.sleep(0.3)
    Path(sys.argv[1]).write_text("done")
guard(work, "stopped")
"""


def _run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_closed_pipe_loses_no_work(tmp_path: Path) -> None:
    shell = '"$0" -c "$1" "$2" 2>&1 | head -1; exit ${PIPESTATUS[0]}'
    arguments = ["bash", "-c", shell, sys.executable, WORK, str(tmp_path / "file")]
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0\n", "")
    assert (tmp_path / "file").read_text() == "done"


@pytest.mark.parametrize("stream", ["1", "2"])
def test_output_to_a_full_disk_loses_no_work(tmp_path: Path, stream: str) -> None:
    shell = f'"$0" -c "$1" "$2" {stream}>/dev/full'
    arguments = ["bash", "-c", shell, sys.executable, WORK, str(tmp_path / "file")]
    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert (tmp_path / "file").read_text() == "done"
    assert "Traceback" not in ended.stderr
    note = "note: stdout cannot be written (No space left on device); the work goes on\n"
    assert ended.stderr.count(note) == (stream == "1")


def test_help_into_a_closed_pipe() -> None:
    for arguments in (("train.py",), ("-m", "msl_jax"), ("-m", "msl_jax", "list", "variants")):
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, *arguments, *(["--help"] if "list" not in arguments else [])]
        ended = subprocess.run(
            command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(writer)
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("platform", "arguments"),
    [
        ("cuda", "train.py --config camvid_scratch --workdir {out}"),
        ("cuda", "eval.py --checkpoint {run}"),
        ("cuda", "predict.py --checkpoint {run} --input {photos} --output {out}"),
        ("cuda", "-m msl_jax export {run} {out}"),
        ("cuda", "-m msl_jax.analysis.unlabelled {run}"),
        ("cuda", "-m msl_jax.convert {run} {out}"),
        ("tpu", "-m msl_jax.convert {run} {out}"),
    ],
)
def test_platform_that_is_not_there(
    tiny_run, tiny_flags, photos: Path, tmp_path: Path, platform: str, arguments: str
) -> None:
    places = {"run": tiny_run[0], "photos": photos, "out": tmp_path / "out"}
    flags = tiny_flags() if arguments.startswith(("train", "eval")) else ()
    ended = _run(*arguments.format(**places).split(), *flags, JAX_PLATFORMS=platform)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr  # JAX hides the frames by which it was to be known
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert f"JAX_PLATFORMS={platform}" in line
    assert line.endswith('CUDA build of JAX: pip install -e ".[cuda12]"')


def test_memory_that_is_not_there() -> None:
    command = "def f(): raise MemoryError\nfrom msl_jax.runtime.command_line import guard\n"
    ended = _run("-c", command + "guard(f, '')")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: not enough memory (MemoryError). ")
    for key in ("config.batch_size", "config.eval_batch_size", "--window"):
        assert key in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_warnings_that_are_errors() -> None:
    """Libraries warn of what only they can mend, already where a configuration is read."""
    ended = _run("-W", "error", "train.py", "--workdir=x")
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: DeprecationWarning: ")
    assert "python -W error" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_without_docstrings() -> None:
    for script in ("train.py", "eval.py", "predict.py"):
        ended = _run("-OO", script, "--nonsense")
        assert ended.returncode == 2
        assert ended.stderr.startswith("error: ")
        assert "Traceback" not in ended.stderr


def _limited(kilobytes: int, arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'ulimit -v {kilobytes}; "$0" {arguments}', sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        "train.py --workdir {folder}/run",
        "eval.py --checkpoint {folder}/run",
        "predict.py --checkpoint {folder}/run --input {folder} --output {folder}/out",
        "-m msl_jax prior --output {folder}/prior",
        "-m msl_jax export {folder}/run {folder}/out",
        "-m msl_jax.report --workdir {folder}/run",
        "-m msl_jax.analysis.figures --workdir {folder}/run --output {folder}/out",
        "-m msl_jax.analysis.unlabelled {folder}/run",
        "-m msl_jax.convert {folder}/a.pth {folder}/b.pth",
        "-m msl_jax.data.prepare demo --records_dir {folder}/records",
    ],
)
def test_address_space_that_is_too_small(tmp_path: Path, arguments: str) -> None:
    """XLA and the processes that prepare records would abort, or hang without a word."""
    ended = _limited(1_000_000, arguments.format(folder=tmp_path))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "error: the address space is limited to 1,000,000 kB (ulimit -v): expected at least"
        " 3,000,000; raise the limit or start from another shell\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_help_and_lists_need_little_address_space() -> None:
    for arguments in ("-m msl_jax", "train.py --help", "-m msl_jax list variants"):
        ended = _limited(1_000_000, arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
