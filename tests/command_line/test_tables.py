"""`python -m benchmarks.tables`: its command line, and tables of runs that exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from msl_jax.occupied import occupied

SCRIPT = "benchmarks/tables.py"


def _finish(workdir: Path, row: str, seed: int, miou: float) -> None:
    metrics = {"target": {"miou": miou, "iou": {"road": miou}, "pixel_accuracy": 0.5}}
    results = {
        **{"config": "camvid", "variant": row, "seed": seed, "source_only": None},
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
        (["--results=w"], "no results, expected files ROW-seedS.json there"),
    ],
)
def test_wrong_command_lines(refused, arguments: list[str], message: str) -> None:
    config = str(Path(__file__).parents[2] / "configs" / "camvid.py")
    assert message in refused(SCRIPT, *(word.replace("CONFIG", config) for word in arguments))


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
    with occupied(tmp_path / "w"):
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
        "  seed 0, minent: not begun: it begins from source\n"
        "The others are kept; the same command tries these again.\n"
    )
    assert not list((tmp_path / "w").iterdir())
