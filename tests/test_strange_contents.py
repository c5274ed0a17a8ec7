"""Files of a run that a stranger gave: what they hold is one message, never a traceback."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from saved_states import INPUT, make_state, save_stage

from msl_jax.config import base_config
from msl_jax.config.keys import as_json
from msl_jax.config.presets import complete
from msl_jax.models.spec import NetworkSpec
from msl_jax.runs.checkpoint_path import CheckpointPath
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.resume import StageCheckpoints
from msl_jax.runs.table import print_results
from msl_jax.runs.workdir import baseline_in
from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.weights.find import Weights

_DEEP = "[" * 100_000


@pytest.mark.parametrize("step", ["../../..", None, True, 1.5, []])
def test_step_of_the_best_that_is_none(tmp_path: Path, step: Any) -> None:
    save_stage(tmp_path / "adapt", 0.5)
    path = tmp_path / "adapt" / "10" / "metrics" / "best"
    path.write_text(json.dumps({"step": step, "metrics": {"target": None}}))
    with pytest.raises(DamagedError, match="not a step"):
        Checkpoints(tmp_path / "adapt").best()


@pytest.mark.parametrize(
    "text",
    [
        *("3", "[]", '{"target": [1]}', '{"target": 0}', '{"target": {"miou": "x"}}'),
        *('{"target": {"iou": 1}}', '{"target": {"miou": 0.5, "iou": []}}'),
        *('{"target": {"miou": 0.5, "iou": {"sky": "x"}}}', _DEEP),
    ],
)
@pytest.mark.parametrize("name", ["metrics", "best"])
def test_metrics_that_are_none(tmp_path: Path, name: str, text: str) -> None:
    """A stranger's checkpoint, with checksums that fit."""
    save_stage(tmp_path / "adapt", 0.5)
    found = f'{{"step": 10, "metrics": {text}}}' if name == "best" else text
    (tmp_path / "adapt" / "10" / "metrics" / name).write_text(found)
    with pytest.raises(DamagedError, match=rf"adapt/10 is damaged \(metrics/{name}"):
        StageCheckpoints(tmp_path, "adapt").results()


def test_best_without_metrics_of_the_target(tmp_path: Path) -> None:
    save_stage(tmp_path / "adapt", 0.5)
    path = tmp_path / "adapt" / "10" / "metrics" / "best"
    path.write_text(json.dumps({"step": 10, "metrics": {"target": None}}))
    with pytest.raises(DamagedError, match="not a step"):
        Checkpoints(tmp_path / "adapt").best()


@pytest.mark.parametrize("position", [None, [], *({"examples": n} for n in ("x", True, -5))])
def test_position_that_is_none(
    tmp_path: Path, position: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint before it is used."""
    checkpoints = save_stage(tmp_path / "adapt", 0.5)
    checkpoints.save(make_state(20), position, {"target": None})
    point = StageCheckpoints(tmp_path, "adapt").restore(make_state())
    assert int(point.state.step) == 10
    assert "(input/metadata: no position); kept as 20.damaged" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["3", '{"source": null}', '{"target": {"miou": [1]}}', "["])
def test_baseline_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "source_only.json").write_text(text)
    with pytest.raises(UserError, match=r"source_only\.json"):
        baseline_in(tmp_path)


def test_class_that_another_list_lacks() -> None:
    out = io.StringIO()
    final = {"iou": {"sky": 0.5}, "miou": 0.5, "pixel_accuracy": 0.5}
    domains = {"target": final, "source": {**final, "iou": {"car": 0.5}}}
    results = {"config": "x", "variant": "x", "seed": 0, "final": domains}
    print_results(results, Console(file=out))
    (row,) = [line for line in out.getvalue().splitlines() if "sky" in line]
    assert row.split() == ["sky", "50.0", "-"]


@pytest.mark.parametrize("recent", [None, 3, [3], [{"loss": "x"}]])
def test_metrics_of_a_stop_that_are_none(
    tmp_path: Path, recent: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stopped").mkdir()
    state = make_state(5)
    metrics = {"target": None, "recent_metrics": recent}
    Checkpoints(tmp_path / "stopped" / "adapt").save(state, INPUT, metrics)
    point = StageCheckpoints(tmp_path, "adapt").restore(make_state())
    assert int(point.state.step) == 0
    said = capsys.readouterr().err
    assert "adapt/5 is damaged (recent metrics); what a stop has left is kept as 5.damaged" in said


def test_step_of_the_best_is_text() -> None:
    out = io.StringIO()
    best = {"target": {"miou": 0.5}, "step": "[/x]\x1b"}
    final = {"target": {"iou": {}, "miou": 0.5, "pixel_accuracy": 0.5}, "source": None}
    results = {"config": "x", "variant": "x", "seed": 0, "final": final, "best": best}
    print_results(results, Console(file=out))
    assert r"at step [/x]\x1b (chosen" in out.getvalue()


def _two_heads(**changed: Any) -> bool:
    config = json.loads(as_json(complete(base_config("demo", "max_square_iw_multi"))))
    kept = {key: v for key, v in {**config, **changed}.items() if v is not None}
    place = CheckpointPath(Path("run/adapt"), 1, kept, "")
    return Weights("run", "run", NetworkSpec({}), (), lambda *_: None, run=place).two_heads


def test_configuration_of_the_first_weights_is_not_complete() -> None:
    """What an older version did not know has its default."""
    assert _two_heads(lambda_source_low=None)
    with pytest.raises(UserError, match=r"run/config\.json.*lambda_source_low"):
        _two_heads(lambda_source_low="x")
