"""What a run has measured so far, finished or not, and its curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from ml_collections.config_dict import ConfigDict

from msl_jax.config import base_config
from msl_jax.config.presets import complete
from msl_jax.report.curves import read_curves
from msl_jax.report.registry import REPORTS
from msl_jax.report.results import Measured, read_results
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.scalars import ScalarLog
from msl_jax.runs.workdir import claim_workdir
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import write_json
from msl_jax.training.state import TrainState


def _metrics(miou: float) -> dict[str, Any]:
    return {"miou": miou, "iou": {"road": miou, "car": None}, "pixel_accuracy": 0.5}


BASELINE = {"target": _metrics(0.25), "source": _metrics(0.75)}


@pytest.fixture
def config() -> ConfigDict:
    return complete(base_config("demo", "minent"))


@pytest.fixture
def workdir(tmp_path: Path, config: ConfigDict) -> Path:
    claim_workdir(tmp_path / "run", config, config)
    return tmp_path / "run"


def _checkpoint(workdir: Path, stage: str, step: int, miou: float) -> None:
    state = TrainState(jnp.int32(step), {"a": jnp.ones(1)}, {"b": jnp.ones(1)}, ())
    metrics = {"target": _metrics(miou), "source": _metrics(miou)}
    Checkpoints(workdir / stage).save(state, {}, metrics)


def test_finished_run(workdir: Path, config: ConfigDict) -> None:
    final, best = {**BASELINE, "step": 9}, {"target": _metrics(0.9), "step": 6}
    write_json(workdir / "results.json", {"source_only": BASELINE, "final": final, "best": best})
    found = read_results(workdir, config, REPORTS[config.task])
    assert found.state == "Finished after step 9."
    assert found.before == Measured("source-only", None, BASELINE)
    assert found.after == Measured("final", 9, BASELINE)
    assert found.best == Measured("best", 6, {"target": _metrics(0.9), "source": None})


def test_run_that_has_only_begun(workdir: Path, config: ConfigDict) -> None:
    found = read_results(workdir, config, REPORTS[config.task])
    assert found[1:] == (None, None, None)
    assert "nothing of the source-only stage has been evaluated" in found.state
    assert read_curves(workdir, config, REPORTS[config.task].metric, None) == []


def test_run_in_its_first_stage(workdir: Path, config: ConfigDict) -> None:
    _checkpoint(workdir, "source", 5, 0.5)
    _checkpoint(workdir, "source", 9, 0.25)
    found = read_results(workdir, config, REPORTS[config.task])
    assert "up to step 9 of 80000 of the source-only stage" in found.state
    assert found.before is None
    assert found.after.metrics["source"]["miou"] == 0.25
    assert found.best.step == 5
    (curves,) = read_curves(workdir, config, REPORTS[config.task].metric, None)
    assert curves.title == "source-only"
    assert curves.evaluations == {"target": {5: 0.5, 9: 0.25}, "source": {5: 0.5, 9: 0.25}}


def test_run_in_its_adaptation(workdir: Path, config: ConfigDict) -> None:
    _checkpoint(workdir, "source", 9, 0.25)
    write_json(workdir / "source_only.json", BASELINE)
    found = read_results(workdir, config, REPORTS[config.task])
    assert "nothing of the adaptation" in found.state
    assert (found.before.metrics, found.after) == (BASELINE, None)
    _checkpoint(workdir, "adapt", 3, 0.5)
    found = read_results(workdir, config, REPORTS[config.task])
    assert "up to step 3 of 29750 of the adaptation" in found.state
    assert found.after.title == "step 3"
    first, second = read_curves(workdir, config, REPORTS[config.task].metric, found.before.metrics)
    assert first.evaluations["target"] == {9: 0.25}
    assert second.title == "minent"
    assert second.evaluations["target"] == {0: 0.25, 3: 0.5}


def test_shares_are_no_losses(workdir: Path, config: ConfigDict) -> None:
    _checkpoint(workdir, "source", 9, 0.25)
    log = ScalarLog(workdir / "logs" / "source", 0)
    log.write(5, {"loss/source/final": 1.5, "target/guided_share": 0.25, "learning_rate": 0.1})
    (curves,) = read_curves(workdir, config, REPORTS[config.task].metric, None)
    assert curves.losses == {"source/final": {5: 1.5}}
    assert curves.shares == {"target/guided_share": {5: 0.25}}


def test_damaged_metrics_of_an_unfinished_run(workdir: Path, config: ConfigDict) -> None:
    _checkpoint(workdir, "source", 9, 0.25)
    (workdir / "source/9/metrics/metrics").write_text("{")
    found = read_results(workdir, config, REPORTS[config.task])
    assert "checkpoint" in found.state
    assert "is damaged" in found.state
    assert found.after is None
    assert read_curves(workdir, config, REPORTS[config.task].metric, None) == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps(
            {"source_only": None, "final": {"target": {"accuracy": 1}, "step": 1}, "best": None}
        ),
        json.dumps({"source_only": None, "final": {"target": 3, "step": 1}, "best": None}),
        json.dumps({"source_only": [1], "final": {**BASELINE, "step": 1}, "best": None}),
        json.dumps(
            {"source_only": None, "final": {"target": _metrics(7), "step": 1}, "best": None}
        ),
        json.dumps({"source_only": None, "final": BASELINE, "best": None}),
    ],
)
def test_results_of_another_kind(workdir: Path, config: ConfigDict, text: str) -> None:
    path = workdir / "results.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"results\.json"):
        read_results(workdir, config, REPORTS[config.task])


def test_results_of_the_other_task(workdir: Path) -> None:
    path = workdir / "results.json"
    final = {**BASELINE, "step": 1}
    path.write_text(json.dumps({"source_only": None, "final": final, "best": None}))
    config = complete(base_config("digits", "dann", task="classification"))
    with pytest.raises(
        UserError, match=r"not hold the metrics of a classification \(accuracy in \[0, 1\]\)"
    ):
        read_results(workdir, config, REPORTS[config.task])


def test_what_was_not_measured(workdir: Path, config: ConfigDict) -> None:
    nothing = {"miou": None, "iou": {"road": None, "car": None}, "pixel_accuracy": None}
    final = {"target": nothing, "source": _metrics(0.5)}
    write_json(
        workdir / "results.json",
        {"final": {**final, "step": 9}, "best": None, "source_only": BASELINE},
    )
    found = read_results(workdir, config, REPORTS["segmentation"])
    assert found.after == Measured("final", 9, final)
    text = "".join(
        text
        for part in REPORTS["segmentation"].evaluation(found, None).content
        for text in part.itertext()
    )
    assert "target mIoU 25.0 → not measured; source mIoU 75.0 → 50.0 % (-25.0)" in text
    state = TrainState(jnp.int32(6), {"a": jnp.ones(1)}, {"b": jnp.ones(1)}, ())
    Checkpoints(workdir / "adapt").save(state, {}, final)
    (curves,) = read_curves(workdir, config, "miou", BASELINE)
    assert curves.evaluations == {"target": {0: 0.25}, "source": {0: 0.75, 6: 0.5}}


def test_accuracy_that_was_not_measured() -> None:
    assert REPORTS["classification"].values({"accuracy": None}) == []
