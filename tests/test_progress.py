"""What a person sees while a run works."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import jax
import pytest
from rich.console import Console, Group

from msl_jax.commands import train
from msl_jax.experiment import log as stage_log
from msl_jax.experiment.log import StageLog
from msl_jax.runs.scalars import read_scalars
from msl_jax.runtime import progress
from msl_jax.runtime.progress import Bar


def _terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)


def _shown(bar: Bar, console: Console) -> list[str]:
    with console.capture() as capture:
        console.print(Group(*bar.get_renderables()))
    return capture.get().rstrip("\n").split("\n")


def test_a_stage_on_80_columns() -> None:
    console = _terminal()
    bar = Bar("max_square_iw_multi", 29_750, done=1_200, unit="step", console=console)
    losses = "source/final 0.2512  source/low 0.0312  target/final -0.0021  target/guidance 0.0101"
    bar.tell(losses, 0.46)
    first, second, third = _shown(bar, console)
    title, _, count, speed, unit, left, word = first.split()
    assert (title, count) == ("max_square_iw_multi", "1200/29750")
    assert (speed, unit, left, word) == ("0.46", "steps/s", "17:14:25", "left")
    assert first.index(count) - len(title) > 15  # room for the bar
    assert len(first.rstrip()) <= 80
    assert second.startswith("  source/final 0.2512  source/low 0.0312")
    assert second.split() + third.split() == losses.split()  # nothing is cut off
    assert second.rstrip().endswith(" -0.0021")  # nor a name torn from its value
    bar.tell("x" * 200)
    _, *below = _shown(bar, console)
    assert all(len(text.rstrip()) <= 80 for text in below)
    assert "".join(text.strip() for text in below) == "x" * 200


def test_the_speed_is_that_after_the_first_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four photos come together every 2 seconds, the first ones after 20 of compiling."""
    console, now = _terminal(), 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    bar = Bar("predicting", 12, unit="photo", before="compiling the first batch", console=console)
    assert _shown(bar, console)[1].strip() == "compiling the first batch"
    for now, shown in ((20.0, " 4/12"), (22.0, " 8/12 2.00 photos/s  0:00:02 left")):
        for _ in range(4):
            bar.step()
            now += 0.001
        (line,) = _shown(bar, console)
        assert line.rstrip().endswith(shown)


def test_an_item_counts_once_it_has_been_used() -> None:
    with Bar("predicting", 2, console=_terminal()) as bar:
        counts = [bar.tasks[0].completed for _ in bar.each("ab")]
        assert (counts, bar.tasks[0].completed) == ([0, 1], 2)


def test_names_are_no_markup() -> None:
    console = _terminal()
    assert _shown(Bar("[red]a[/b]", 3, console=console), console)[0].startswith("[red]a[/b] ")


def test_no_bar_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with Bar("images", 3) as bar:
        bar.step()
        bar.move(3)
    assert capfd.readouterr() == ("", "")


def test_compilation_is_said_and_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(stage_log.time, "monotonic", lambda: now)
    with StageLog("source-only", tmp_path, 0, 40) as log:
        log.compiling()
        for step in range(1, 21):
            now += 100.0 if step == 1 else 0.5
            log.advance(step)
        log.log(20, {"source/final": 0.25}, 0.1)
    lines = capfd.readouterr().err.splitlines()
    assert lines == [
        "source-only: compiling the first step",
        "source-only 20/40  2.00 steps/s  0:00:10 left  source/final 0.2500",
    ]
    assert read_scalars(tmp_path)["speed/steps_per_second"] == {20: 2.0}


def test_one_step_has_no_speed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with StageLog("source-only", tmp_path, 0, 1) as log:
        log.compiling()
        log.advance(1)
        log.log(1, {"source/final": 0.25}, 0.1)
    assert capfd.readouterr().err.splitlines()[1] == "source-only 1/1  source/final 0.2500"
    assert set(read_scalars(tmp_path)) == {"learning_rate", "loss/source/final"}


def test_devices_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        platform, device_kind = "gpu", "NVIDIA H100"

    assert train._devices().startswith("device: ")
    monkeypatch.setattr(jax, "devices", lambda: [Card(), Card()])
    assert train._devices() == "device: 2 x NVIDIA H100"


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (["source"], "'a run':source"),
        (["adapt"], "'a run'"),
        (["source", "adapt"], "'a run':source 'a run'"),
    ],
)
@pytest.mark.parametrize(
    ("called", "report", "predict", "unlabelled"),
    [
        (
            "train.py",
            "python -m msl_jax.report",
            "python predict.py",
            "python -m msl_jax.analysis.unlabelled",
        ),
        ("msl-jax train", "msl-jax report", "msl-jax predict", "msl-jax unlabelled"),
    ],
)
def test_commands_that_go_on(
    called: str,
    report: str,
    predict: str,
    unlabelled: str,
    stages: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [called])
    for stage in stages:
        Path("a run", stage).mkdir(parents=True)
    lines = train._where_next(Path("a run")).splitlines()
    assert lines[0] == "Results, checkpoints, logs and pictures: a run"
    assert lines[2].endswith(f" {report} --workdir 'a run'")
    assert f" {predict} --checkpoint 'a run' --input PHOTOS" in lines[3]
    assert lines[4].endswith(f" {unlabelled} {expected}")
    lines = train._where_next(Path("a run"), ("/my/one.py", "/my/two.py")).splitlines()
    own = "MSL_JAX_IMPORT=/my/one.py:/my/two.py "  # else they cannot read the run
    assert [own in line for line in lines] == [False, False, True, True, True]


def test_every_bar_is_ours() -> None:
    package = Path(progress.__file__).parents[1]
    using = [path for path in package.rglob("*.py") if "rich.progress" in path.read_text()]
    assert using == [Path(progress.__file__)]
