"""Runs of AdaptSegNet and ADVENT: both domains from the first step, kills, and what comes after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.kill_resume import identical
from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.commands.train import train
from msl_jax.convert.command import convert
from msl_jax.experiment.log import StageLog
from msl_jax.methods import adversarial
from msl_jax.report.command import write_report
from msl_jax.runs.arrays import read_tree
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import find

pytestmark = pytest.mark.usefixtures("shared_steps")

VARIANTS = ("adaptsegnet", "adaptsegnet_single", "advent", "minent_advent")
# As their recipe is: no source-only stage.
JOINT: dict[str, Any] = {"source_steps": 0, "source_poly_steps": 0}


@pytest.fixture(scope="module")
def joint(start, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Function that gives the run of a variant from a new network, without interruption."""
    runs: dict[str, Any] = {}

    def run(variant: str) -> Any:
        if variant not in runs:
            keys = {} if variant == "minent_advent" else {"method.discriminator_width": 4}
            config = tiny_config(variant, **JOINT, **keys)
            runs[variant] = start(config, tmp_path_factory.mktemp(variant) / "run")
        return runs[variant]

    return run


@pytest.fixture(scope="module")
def advent(joint) -> Any:
    return joint("advent")


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_trained_or_measured_before(joint, variant: str) -> None:
    run = joint(variant)
    assert run.results["source_only"] is None
    assert json.loads((run.workdir / "source_only.json").read_text()) is None
    assert run.results["final"]["step"] == 4
    assert not (run.workdir / "source").exists()
    assert not (run.workdir / "logs" / "source").exists()


def test_a_discriminator_that_wins_is_told(
    start, tiny_config, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the log when it has lasted, and in the report of the run."""
    monkeypatch.setattr(adversarial, "WON", 1e9)
    keys = {"method.discriminator_width": 4, "steps": 7, "log_every": 1, "eval_every": 7}
    run = start(tiny_config("adaptsegnet", **JOINT, **keys), tmp_path / "run")
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "warning" in text]
    assert line.startswith(
        "warning: adaptsegnet 5: the discriminator of the final and the low head"
    )
    page = write_report(str(run.workdir)).read_text()
    assert page.count("step 5: the discriminator of the final and the low head") == 1
    monkeypatch.setattr(adversarial, "WON", 0.0)
    assert "tells the domains apart" not in write_report(str(run.workdir)).read_text()


@pytest.mark.parametrize("variant", VARIANTS)
def test_continued_run_equals_one_without_interruption(joint, tmp_path: Path, variant: str) -> None:
    """Discriminators and their Adam go on as well."""
    run = joint(variant)

    class Killed(Exception):
        pass

    advance = StageLog.advance

    def killing(self: StageLog, made: int) -> None:
        advance(self, made)
        if made == 3:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StageLog, "advance", killing)
        with pytest.raises(Killed):
            train(run.config, str(tmp_path / "run"))
    assert train(run.config, str(tmp_path / "run")) == run.results
    same = identical(run.workdir, tmp_path / "run")
    assert same
    assert all(same.values()), same


@pytest.mark.parametrize(
    ("variant", "heads"), [("adaptsegnet_single", ["final"]), ("advent", ["final", "low"])]
)
def test_discriminators_are_kept_with_their_optimizer(
    joint, variant: str, heads: list[str]
) -> None:
    checkpoint = joint(variant).workdir / "adapt" / "4"
    params = read_tree(checkpoint / "variables")["params"]
    assert sorted(params["discriminator"]) == heads
    before, after = (
        read_tree(joint(variant).workdir / "adapt" / step / "variables")["params"] for step in "24"
    )
    for head in heads:
        kernels = [tree["discriminator"][head]["conv1"]["kernel"] for tree in (before, after)]
        assert not np.array_equal(*kernels)
    affine = [tree["backbone"]["layer1_0"]["bn1"]["scale"] for tree in (before, after)]
    np.testing.assert_array_equal(*affine)


def test_evaluation_and_photos_leave_the_discriminators_out(
    advent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = evaluate(advent.config, str(advent.workdir), str(tmp_path / "eval"))
    assert results["final"] == advent.results["final"]
    said = "note: discriminator left out"
    assert said in capsys.readouterr().err
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    photo, output = str(tmp_path / "photo.png"), str(tmp_path / "out")
    (labels,) = predict(advent.config, str(advent.workdir), photo, output)
    assert labels.is_file()
    assert said in capsys.readouterr().err


def test_conversion_leaves_the_discriminators_out(
    advent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(str(advent.workdir), str(tmp_path / "weights.safetensors"))
    assert "discriminator left out" in capsys.readouterr().out
    found = find(tmp_path / "weights.safetensors").load(build_model(advent.config))
    np.testing.assert_array_equal(
        found["params"]["final_head"]["conv0"]["kernel"],
        advent.variables()["params"]["final_head"]["conv0"]["kernel"],
    )


def test_report_without_a_source_only_network(
    advent, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = write_report(advent.workdir, tmp_path / "report.html", images=2).read_text()
    assert "adapt step 4; discriminator left out" in page
    assert "began without a trained network (config.source_steps=0)" in capsys.readouterr().err
    assert "source-only" not in page.split("<h2", 2)[1]


def test_adaptation_of_any_other_variant(advent, start, tiny_config, tmp_path: Path) -> None:
    """The network of such a run is a trained one, with both heads."""
    config = tiny_config("max_square_multi", init_from=str(advent.workdir), **JOINT)
    run = start(config, tmp_path / "run")
    final = {key: advent.results["final"][key] for key in ("target", "source")}
    assert run.results["source_only"] == final


def test_backbone_is_where_both_domains_begin(
    advent, start, tiny_config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """New heads have nothing to be measured, though there are weights."""
    keys = {"init_from": str(advent.workdir), "reinit_heads": True, "method.discriminator_width": 4}
    run = start(tiny_config("adaptsegnet_single", **JOINT, **keys), tmp_path / "run")
    assert run.results["source_only"] is None
    assert "discriminator left out" in capsys.readouterr().err
    write_report(run.workdir, images=1)
    assert "began without a trained network" in capsys.readouterr().err


def test_source_only_stage_where_it_is_asked_for(start, tiny_config, tmp_path: Path) -> None:
    keys = {"source_steps": 2, "eval_every": 4, "steps": 2, "method.discriminator_width": 4}
    run = start(tiny_config("advent", **keys), tmp_path / "run")
    assert run.results["source_only"] is not None
    assert (run.workdir / "source" / "2").is_dir()
    assert "discriminator" not in read_tree(run.workdir / "source" / "2" / "variables")["params"]


@pytest.mark.parametrize(
    ("variant", "key", "value", "message"),
    [
        ("advent", "gan", "LS", r"gan: expected one of 'vanilla', 'least_squares', found 'LS'"),
        ("advent", "lambda_adv_low", -0.1, r"lambda_adv_low: expected at least 0, found -0\.1"),
        ("advent", "lambda_adv_final", float("inf"), r"expected at least 0, found inf"),
        ("adaptsegnet", "discriminator_width", 0, r"expected a number in \[1, 4096\], found 0"),
    ],
)
def test_wrong_values(
    start, tiny_config, tmp_path: Path, variant: str, key: str, value: Any, message: str
) -> None:
    with pytest.raises(UserError, match=rf"method\.{key}: expected|{message}") as caught:
        start(tiny_config(variant, **{f"method.{key}": value}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert caught.match(message)


def test_key_of_another_method(start, tiny_config, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="lambda_adv_low"):
        tiny_config("adaptsegnet_single", **{"method.lambda_adv_low": 0.1})
    config = tiny_config("advent").unlock()
    config.variant = "minent_advent"
    with pytest.raises(UserError, match=r"keys of minent_advent are .*:minent_advent"):
        start(config, tmp_path / "run")
