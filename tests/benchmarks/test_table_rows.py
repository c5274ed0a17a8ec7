"""Which runs the tables need, in which order, and where each starts from."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables.paper import published
from benchmarks.tables.runs import PARAMETERS, ROWS, TASK_ROWS, TASKS, Run, plan, tasks_of
from benchmarks.tables.sweep import Experiment
from msl_jax.runtime.errors import UserError

W = Path("/w")
CONFIGS = Path(__file__).parents[2] / "configs"
OWN = {"lambda_target": 0.1, "iw_alpha": 0.2, "guidance_threshold": 0.95}


def test_rows_of_a_seed_before_those_of_the_next() -> None:
    planned = plan([2, 0, 2], ROWS)
    # The network that the control of Multi starts from is trained by the first Multi row.
    order = [*ROWS[:6], "max_square_multi", "target_statistics_multi", *ROWS[8:]]
    assert planned == [Run(row, seed) for seed in (2, 0) for row in order]
    assert set(order) == set(ROWS)
    assert order[0] == "source"
    assert order[-2:] == ["max_square_iw_multi", "oracle"]


def test_folders_and_starts() -> None:
    """The layout of the workdir of all runs."""
    found = {run.row: (str(run.folder(W)), run.keys(W).get("init_from")) for run in plan([1], ROWS)}
    one_head = ("target_statistics", "minent", "minent_iw", "max_square", "max_square_iw")
    assert found == {
        **{row: (f"/w/seed1/{row}", "/w/seed1/source") for row in one_head},
        **{row: (f"/w/seed1/{row}", None) for row in ("source", "oracle", "max_square_multi")},
        **{
            row: (f"/w/seed1/{row}", "/w/seed1/max_square_multi:source")
            for row in ("target_statistics_multi", "max_square_iw_multi")
        },
    }


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["max_square_iw"], ["source", "max_square_iw"]),
        (["oracle", "hard"], ["oracle", "source", "hard"]),
        (["max_square_iw_multi"], ["max_square_multi", "max_square_iw_multi"]),
        (["max_square", "source"], ["source", "max_square"]),
    ],
)
def test_runs_that_others_begin_from_are_added_before_them(rows, expected) -> None:
    assert [run.row for run in plan([0], rows)] == expected


def test_rows_that_train_on_both_domains_from_the_start() -> None:
    """They start from no other run: the configuration's own `init_from` is left as it is."""
    rows = ["adaptsegnet", "max_square_iw_multi", "advent"]
    planned = plan([0], rows, joint={"adaptsegnet"})
    assert [run.row for run in planned] == ["max_square_multi", *rows[1::-1], "advent"]
    starts = {run.row: run.keys(W).get("init_from") for run in planned}
    network = "/w/seed0/max_square_multi:source"
    assert starts == {
        "max_square_multi": None,
        "adaptsegnet": None,
        **dict.fromkeys(("max_square_iw_multi", "advent"), network),
    }


@pytest.mark.parametrize(
    ("config", "metric", "row", "expected"),
    [
        ("gta5", "miou", "adaptsegnet", 42.4),
        ("gta5", "miou", "minent_advent", 42.3),
        ("gta5", "miou", "oracle", 65.1),
        ("synthia", "miou", "adaptsegnet", None),
        ("synthia", "miou_13", "adaptsegnet", 46.7),
        ("synthia", "miou", "minent_advent", 38.1),
        ("synthia", "miou_13", "minent_advent", 44.2),
        ("crosscity-Taipei", "miou", "adaptsegnet", 49.1),
        ("gta5", "miou", "cbst_sp", 46.2),
        ("synthia", "miou", "cbst", 42.5),
        ("synthia", "miou_13", "cbst", 48.4),
        ("crosscity-Rio", "miou", "cbst", 52.2),
        ("gta5", "miou", "crst_mrkld", None),
        ("gta5", "miou", "advent", None),  # the paper has it with MinEnt alone
    ],
)
def test_figures_of_other_methods(
    config: str, metric: str, row: str, expected: float | None
) -> None:
    assert published(config, metric).cell(row) == (expected, None)


@pytest.mark.parametrize(
    ("config", "metric", "expected"),
    [
        ("gta5", "miou", {"source only on a wider ResNet-38": 35.4, "AdvEnt+MinEnt": 44.8}),
        ("synthia", "miou_13", {"source only on a wider ResNet-38": 33.6, "AdvEnt+MinEnt": 48.0}),
        ("crosscity-Tokyo", "miou", {"Cross city": 42.8}),
    ],
)
def test_figures_of_systems_that_are_no_rows(
    config: str, metric: str, expected: dict[str, float]
) -> None:
    assert published(config, metric).alone == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gta5", {"adaptsegnet", "adaptsegnet_single", "advent", "minent_advent", "dacs", "mic"}),
        ("camvid", set()),
        ("digits", set()),
    ],
)
def test_joint_rows_of_a_configuration(name: str, expected: set[str]) -> None:
    experiment = Experiment(str(CONFIGS / f"{name}.py"), {}, W)
    assert experiment.joint_rows() == expected


def test_sensitivity_comes_last_and_runs_nothing_twice() -> None:
    planned = plan([0, 1], ROWS, OWN)
    assert planned[: 2 * len(ROWS)] == plan([0, 1], ROWS)
    varied = planned[2 * len(ROWS) :]
    assert [run.seed for run in varied] == [0] * 12 + [1] * 12
    assert len(set(planned)) == len(planned)
    values: dict[str, list[float]] = {}
    for run in varied[:12]:
        assert run.keys(W)[run.key] == run.value
        values.setdefault(run.row.partition("=")[0], []).append(run.value)
    assert values == {  # Table 5 without the paper's own choice, which are rows of Table 4
        "max_square-lambda_target": [0.5, 0.2, 0.05, 0.02],
        "max_square_iw-iw_alpha": [0.0, 0.1, 0.15, 0.25, 0.3],
        "max_square_iw_multi-guidance_threshold": [0.98, 0.9, 0.8],
    }
    assert varied[0].row == "max_square-lambda_target=0.5"
    assert varied[0].start == Run("source", 0)
    assert varied[11].start == Run("max_square_multi", 0)


def test_multiples_of_another_weight() -> None:
    """Weights are multiples of the own one; an own alpha that the paper lacks removes no value."""
    planned = plan([0], ["max_square", "max_square_iw"], {**OWN, "lambda_target": 3, "iw_alpha": 1})
    assert [run.value for run in planned if run.key == "lambda_target"] == [15, 6, 1.5, 0.6]
    assert [run.value for run in planned if run.key == "iw_alpha"] == [0, 0.1, 0.15, 0.2, 0.25, 0.3]
    assert not [run for run in planned if run.key == "guidance_threshold"]


def test_place_in_the_paper() -> None:
    weight, alpha, _ = PARAMETERS
    assert weight.in_paper(15, 3) == 43.2
    assert weight.in_paper(3, 3) == 44.3
    assert weight.in_paper(0.5, 3) is None
    assert weight.in_paper(0.5, None) is None
    assert alpha.in_paper(0.0, None) == 44.3
    assert alpha.in_paper(1.0, 1.0) is None


def test_unknown_row() -> None:
    with pytest.raises(UserError, match="--rows: no row 'maxsq'; choose some of source, "):
        plan([0], ["source", "maxsq"])


def _config(file: str, **keys: Any) -> Any:
    config = runpy.run_path(str(CONFIGS / f"{file}.py"))["get_config"]("source")
    config.update_from_flattened_dict(keys)
    return config


def test_rows_of_a_task_and_seed_before_the_next() -> None:
    planned = plan([1, 0], tasks=["amazon-webcam", "dslr-webcam"])
    assert planned == [
        Run(row, seed, task=task)
        for seed in (1, 0)
        for task in ("amazon-webcam", "dslr-webcam")
        for row in TASK_ROWS
    ]
    assert (TASK_ROWS[0], TASK_ROWS[-1]) == ("source", "oracle")


def test_each_task_has_folders_and_starts_of_its_own() -> None:
    planned = plan([1], ["dann", "oracle"], tasks=["amazon-webcam", "webcam-amazon"])
    assert [(str(run.folder(W)), run.keys(W)) for run in planned[3:]] == [
        (
            "/w/webcam-amazon/seed1/source",
            {"seed": 1, "source": "webcam", "target": "amazon"},
        ),
        (
            "/w/webcam-amazon/seed1/dann",
            {
                **{"seed": 1, "source": "webcam", "target": "amazon"},
                "init_from": "/w/webcam-amazon/seed1/source",
            },
        ),
        (
            "/w/webcam-amazon/seed1/oracle",
            {"seed": 1, "source": "webcam", "target": "amazon"},
        ),
    ]
    assert planned[0].title == "amazon-webcam, seed 1, source"


def test_rows_of_the_other_kind() -> None:
    with pytest.raises(UserError, match=r"no row 'dann'; choose some of source, .*max_square_iw"):
        plan([0], ["dann"])
    with pytest.raises(UserError, match=r"no row 'max_square_iw'; choose some of source, .*dann$"):
        plan([0], ["max_square_iw"], tasks=["mnist-uci"])


def test_tasks() -> None:
    office31 = _config("office31")
    assert tasks_of(office31) == list(TASKS["office31"])
    assert len(TASKS["office31"]) == 6
    assert list(TASKS["office31"].values()) == ["A-W", "D-W", "W-D", "A-D", "D-A", "W-A"]
    assert tasks_of(_config("digits", source="uci", target="mnist")) == ["mnist-uci", "uci-mnist"]
    chosen = ["dslr-amazon", "amazon-dslr", "dslr-amazon"]
    assert tasks_of(office31, chosen) == ["dslr-amazon", "amazon-dslr"]
    with pytest.raises(UserError, match=r"--tasks: expected some of amazon-webcam, .*'amazon-uci'"):
        tasks_of(office31, ["amazon-uci"])
    assert tasks_of(_config("camvid")) == [""]
    with pytest.raises(UserError, match="--tasks: camvid is not a classification; leave it out"):
        tasks_of(_config("camvid"), ["amazon-webcam"])


def test_tasks_of_another_configuration() -> None:
    own = _config("office31", name="photos-shop-home", source="shop", target="home")
    assert tasks_of(own) == ["shop-home"]
    assert tasks_of(own, ["home-shop"]) == ["home-shop"]
    with pytest.raises(UserError, match=r"--tasks: expected SOURCE-TARGET, found '\.\./home-shop'"):
        tasks_of(own, ["../home-shop"])
    # The name is what tells the results of different tasks apart.
    with pytest.raises(
        UserError, match=r"^photos: its tasks cannot be told apart: .* ends with th"
    ):
        tasks_of(_config("office31", name="photos"))
