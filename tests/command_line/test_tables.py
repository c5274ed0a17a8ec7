"""`python -m benchmarks.tables`: its command line, and tables of runs that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from msl_jax.runs.lock import workdir_lock

SCRIPT = "benchmarks/tables/__main__.py"
CONFIGS = Path(__file__).parents[2] / "configs"
OFFICE31 = ("--workdir=w", f"--config={CONFIGS / 'office31.py'}")


def _finish(workdir: Path, row: str, seed: int, miou: float) -> None:
    metrics = {"target": {"miou": miou, "iou": {"road": miou}, "pixel_accuracy": 0.5}}
    results = {
        **{"config": "camvid_scratch", "variant": row, "seed": seed, "source_only": None},
        **{"final": {**metrics, "source": None, "step": 4}, "best": None},
    }
    folder = workdir / f"seed{seed}" / row
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--workdir is missing"),
        (["--workdir=w", "--config=CONFIG:source"], "give the file alone; --rows=source chooses"),
        (["--workdir=w", "--config.seed=1"], "--config.seed: here --seeds sets it"),
        (["--workdir=w", "--config.variant=hard"], "--config.variant: here --rows sets it"),
        (["--workdir=w", "--seeds=0,x"], "--seeds: expected integers like 0,1,2, found '0,x'"),
        (["--workdir=w", "--rows=sources"], "--rows: no row 'sources'; choose some of source, "),
        (["--workdir=w", "--report_only"], "no finished run, expected seedS/ROW/results.json"),
        (["--results=w", "--dry_run"], "--dry_run and --results: choose one of them"),
        (["--workdir=w", "--tasks=a-b"], "--tasks: demo is not a classification; leave it out"),
        ([*OFFICE31, "--config.source=dslr"], "--config.source: here --tasks sets it"),
        ([*OFFICE31, "--config.target_eval=x/y"], "target_eval: here each task of --tasks sets it"),
        ([*OFFICE31, "--sensitivity"], "--sensitivity: Table 5 is of segmentation; leave it out"),
        ([*OFFICE31, "--tasks=webcam"], "--tasks: expected some of amazon-webcam, dslr-webcam, "),
        ([*OFFICE31, "--rows=hard"], "--rows: no row 'hard'; choose some of source, "),
        (["--results=w"], "no results, expected files ROW-seedS.json there"),
    ],
)
def test_wrong_command_lines(refused, arguments: list[str], message: str) -> None:
    config = str(CONFIGS / "camvid_scratch.py")
    assert message in refused(SCRIPT, *(word.replace("CONFIG", config) for word in arguments))


def test_help_has_every_flag(command) -> None:
    out = command(SCRIPT, "--help").out
    for name in ("workdir", "seeds", "rows", "tasks", "sensitivity", "output", "dry_run"):
        assert f"\n  --{name}\n" in out
    assert "\n  --report_only\n" in out
    assert "\n  --results\n" in out


def test_unknown_key(refused) -> None:
    message = refused(SCRIPT, "--workdir=w", "--config.step=1", code=2)
    assert "--config.step: no such key; did you mean steps?" in message


def test_tables_of_finished_runs_and_of_their_results_alone(command, tmp_path: Path) -> None:
    for seed, miou in enumerate((0.2, 0.3)):
        _finish(tmp_path / "w", "source", seed, miou)
    first = command(SCRIPT, f"--workdir={tmp_path / 'w'}", "--report_only")
    assert first.code == 0
    assert "| source | 2 | 25.0 ± 7.1 [20.0, 30.0] | - |" in first.out
    tables = tmp_path / "w" / "tables"
    assert first.out.strip() == (tables / "tables.md").read_text().strip()
    second = command(SCRIPT, f"--results={tables}", f"--output={tmp_path / 'again'}")
    assert second.out == first.out
    for name in ("tables.md", "table.csv", "classes.csv"):
        assert (tmp_path / "again" / name).read_text() == (tables / name).read_text()


def test_one_sweep_at_a_time(refused, tmp_path: Path) -> None:
    with workdir_lock(tmp_path / "w"):
        message = refused(SCRIPT, f"--workdir={tmp_path / 'w'}")
    assert f"{tmp_path / 'w'} is in use: process " in message


def test_results_of_runs_that_are_still_to_be_made(refused, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "oracle-seed2.json").write_text("{}")
    (tmp_path / "w").mkdir()
    message = refused(SCRIPT, f"--workdir={tmp_path / 'w'}", f"--output={tmp_path / 'kept'}")
    assert "oracle-seed2.json exists, but its run is not finished in --workdir" in message


def test_failed_runs(command, tmp_path: Path) -> None:
    arguments = ["--rows=minent", "--seeds=0", "--config.source_train=demo/x"]
    outcome = command(SCRIPT, *arguments, f"--workdir={tmp_path / 'w'}")
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.endswith(
        "error: 2 of 2 runs are missing:\n"
        "  seed 0, source: exit status 1\n"
        "  seed 0, minent: not started: it starts from source\n"
        "The others are kept; the same command retries these.\n"
    )
    assert not list((tmp_path / "w").iterdir())


def test_plan_of_table_1_needs_no_data(command, tmp_path: Path) -> None:
    arguments = ["--seeds=0,1", "--dry_run", "--config.data_root=none", "--config.init_from=a.pth"]
    outcome = command(SCRIPT, *OFFICE31, *arguments)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[-1] == "# 72 of 72 left, no estimate until the first has finished"
    w = tmp_path / "here" / "w"
    assert lines[9] == (
        f"python train.py --config={CONFIGS / 'office31.py'}:minent --config.data_root=none"
        f" --config.init_from={w}/dslr-webcam/seed0/source --config.seed=0 --config.source=dslr"
        f" --config.target=webcam --workdir={w}/dslr-webcam/seed0/minent"
    )
    assert lines[6].count("--config.init_from=a.pth") == 1
    assert not w.exists()


def test_no_tasks_beside_runs_of_segmentation(refused, tmp_path: Path) -> None:
    _finish(tmp_path / "w", "source", 0, 0.2)
    config = OFFICE31[1]
    message = refused(SCRIPT, config, f"--workdir={tmp_path / 'w'}", f"--output={tmp_path / 'o'}")
    assert "w/seed0/source is a run without a task, of another configuration" in message


def test_results_of_another_classification(refused, tmp_path: Path) -> None:
    digits = CONFIGS.parent / "docs" / "results" / "digits"
    message = refused(SCRIPT, *OFFICE31, f"--output={digits}")
    assert f"{digits}: results of digits, not of office31. Give another --output." in message


@pytest.mark.parametrize("kept", ["digits", "digits/same_weight"])
def test_differences_of_the_kept_digits(command, tmp_path: Path, kept: str) -> None:
    """The commands in docs/results.md reproduce its seed-by-seed tables, line by line."""
    docs = CONFIGS.parent / "docs"
    outcome = command(SCRIPT, f"--results={docs / 'results' / kept}", f"--output={tmp_path / 'o'}")
    assert outcome.code == 0
    found = outcome.out[outcome.out.index("| difference, seed by seed |") :].strip()
    assert f"\n\n{found}\n\n" in (docs / "results.md").read_text()


def test_weights_of_the_kept_digits(command, tmp_path: Path) -> None:
    """Both losses with the same weight."""
    docs = CONFIGS.parent / "docs"
    kept = docs / "results" / "digits" / "same_weight"
    outcome = command(SCRIPT, f"--results={kept}", f"--output={tmp_path / 'out'}")
    found = [line for line in outcome.out.splitlines() if re.match(r"\| \w+ \| 4 \| ", line)]
    assert len(found) == 2
    text = "\n".join(found)
    assert f"\n| --- | --- | --- | --- | --- |\n{text}\n\n" in (docs / "results.md").read_text()


def test_table_of_the_kept_digits(command, tmp_path: Path) -> None:
    """The command in docs/results.md reproduces its figures."""
    docs = CONFIGS.parent / "docs"
    outcome = command(
        SCRIPT, f"--results={docs / 'results' / 'digits'}", f"--output={tmp_path / 'out'}"
    )
    assert outcome.code == 0
    rows = [line.split(" | ") for line in outcome.out.splitlines() if line.startswith("| ")]
    text = (docs / "results.md").read_text()
    written = re.findall(
        r"^\| (\w+)[^|]*\| ([\d.]+ ± [\d.]+) \([^|]* n = 5\) \| ([^(]+) ", text, re.M
    )
    assert sorted(written) == sorted((row[0][2:], *row[2:4]) for row in rows[2:8])
