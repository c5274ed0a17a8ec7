"""Whole runs of segmentation: what they return and leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections.config_dict import ConfigDict
from PIL import Image

from msl_jax.runtime.errors import UserError
from msl_jax.weights.find import find

from .measured import assert_metrics


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_results_of_both_stages(whole) -> None:
    results = _read(whole.workdir / "results.json")
    assert results == whole.results
    assert set(results) == {"config", "variant", "seed", "source_only", "final", "best"}
    assert (results["config"], results["variant"], results["seed"]) == (
        "camvid_scratch",
        "max_square_iw_multi",
        0,
    )
    assert set(results["source_only"]) == {"target", "source"}
    assert set(results["final"]) == {"target", "source", "step"}
    assert set(results["best"]) == {"target", "step"}
    assert results["final"]["step"] == 4
    assert results["best"]["step"] in (2, 4)
    assert results["best"]["target"]["miou"] >= results["final"]["target"]["miou"]
    for metrics in (
        *results["source_only"].values(),
        results["final"]["target"],
        results["final"]["source"],
        results["best"]["target"],
    ):
        assert_metrics(metrics)


def test_a_run_leaves_configuration_logs_and_pictures(whole) -> None:
    assert _read(whole.workdir / "config.json")["steps"] == 4
    for stage in ("source", "adapt"):
        assert len(list((whole.workdir / "logs" / stage).glob("events.*"))) == 1
        for domain, (height, width) in {"source": (24, 32), "target": (16, 32)}.items():
            with Image.open(whole.workdir / "pictures" / f"{stage}_{domain}.png") as picture:
                rows = {"source": 2, "target": 4}[domain]  # of at most four images
                assert picture.size == (4 * width + 3 * 4, rows * height + (rows - 1) * 4)


def test_stages_start_from_each_other(whole) -> None:
    """The adaptation changes what the source-only stage learned, and leaves that as it was."""
    before, after = whole.variables(":source"), whole.variables()
    low = {run: tree["params"]["low_head"]["conv0"] for run, tree in enumerate((before, after))}
    assert not np.array_equal(low[0]["kernel"], low[1]["kernel"])  # trained by the guidance
    frozen = [tree["params"]["final_head"]["conv1"]["kernel"] for tree in (before, after)]
    np.testing.assert_array_equal(*frozen)  # of a rate that is not summed
    assert not np.array_equal(
        *(t["batch_stats"]["backbone"]["bn1"]["mean"] for t in (before, after))
    )


def test_multi_says_where_its_low_head_begins_at_random(
    start, whole, source, tiny_config: Callable[..., ConfigDict], tmp_path: Path, capsys
) -> None:
    assert find(f"{whole.workdir}:source").two_heads
    start(tiny_config("max_square_multi", init_from=str(source.workdir)), tmp_path / "run")
    assert "have no trained low head" in capsys.readouterr().err


@pytest.mark.parametrize("variant", ["source", "oracle"])
def test_variant_of_one_stage(
    start, source, tiny_config: Callable[..., ConfigDict], tmp_path: Path, variant: str
) -> None:
    run = source
    if variant == "oracle":
        run = start(tiny_config("oracle"), tmp_path / "run")
        assert run.results["final"] != source.results["final"]
    assert run.results["source_only"] is None
    assert run.results["final"]["step"] == 4
    assert not (run.workdir / "adapt").exists()


def test_checkpoint_of_another_network_leaves_nothing(
    start, source, tiny_config: Callable[..., ConfigDict], tmp_path: Path
) -> None:
    config = tiny_config("minent", init_from=str(source.workdir), **{"model.width": 8})
    with pytest.raises(UserError, match=r"config\.model\.width is 8, the weights need 4"):
        start(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
