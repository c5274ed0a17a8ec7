from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

from msl_jax.config import base_config
from msl_jax.config.keys import as_json
from msl_jax.config.presets import complete
from msl_jax.runs.checkpoint_path import find_checkpoint
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.workdir import claim_workdir, default_workdir, finished_results, newest_run
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import write_json
from msl_jax.training.state import TrainState

_METRICS = {"iou": {"road": 0.25}, "miou": 0.25, "pixel_accuracy": 0.5}
RESULTS = {
    **{"config": "demo", "variant": "max_square", "seed": 0, "source_only": None},
    **{"final": {"target": _METRICS, "source": None}, "best": None},
}


def _run(folder: Path, config=None, **stages: dict[int, float]) -> Path:
    """A run's folder; of each stage the steps and target mIoUs of its checkpoints."""
    config = config or base_config("demo")
    claim_workdir(folder, config, config)
    for name, mious in stages.items():
        checkpoints = Checkpoints(folder / name)
        for step, miou in mious.items():
            state = TrainState(jnp.int32(step), {"a": jnp.ones(1)}, {"b": jnp.ones(1)}, ())
            checkpoints.save(state, {}, {"target": {"miou": miou}})
    return folder


def test_default_workdir_names_configuration_variant_and_seed() -> None:
    config = base_config("demo", "minent_iw")
    config.seed = 3
    assert default_workdir(config) == Path("runs/demo-minent_iw-seed3")


# Whether a workdir can take a run.


@pytest.mark.parametrize("state", ["absent", "empty", "claimed"])
def test_run_may_start_or_continue(tmp_path: Path, state: str, snapshot) -> None:
    config, workdir = base_config("demo"), tmp_path / "a" / "run"
    if state != "absent":
        workdir.mkdir(parents=True)
    if state == "claimed":
        claim_workdir(workdir, config, config)
    before = snapshot(tmp_path)
    assert finished_results(workdir, config) is None
    assert snapshot(tmp_path) == before  # looking writes nothing


def test_claimed_workdir_holds_the_configuration_and_keeps_it(tmp_path: Path, snapshot) -> None:
    given, workdir = base_config("demo"), tmp_path / "a" / "run"
    config = complete(given)
    claim_workdir(workdir, given, config)
    assert (workdir / "config.json").read_text() == as_json(config)
    assert (workdir / "config_as_given.json").read_text() == as_json(given)
    before = snapshot(tmp_path)
    claim_workdir(workdir, given, config)
    assert snapshot(tmp_path) == before


def test_finished_run_gives_its_results(tmp_path: Path) -> None:
    config = base_config("demo")
    claim_workdir(tmp_path / "run", config, config)
    write_json(tmp_path / "run" / "results.json", RESULTS)
    assert finished_results(tmp_path / "run", config) == RESULTS
    config.debug = True  # changes nothing of the result
    assert finished_results(tmp_path / "run", config) == RESULTS


@pytest.mark.parametrize(
    "found",
    [
        {},
        [],
        {**RESULTS, "final": {"target": {"iou": 1}}},
        {**RESULTS, "best": {"target": {"iou": {}}, "step": 3}},
        {**RESULTS, "best": {"target": {"miou": 10**400}, "step": 3}},
    ],
)
def test_damaged_results_of_a_finished_run(tmp_path: Path, found: Any) -> None:
    config = base_config("demo")
    claim_workdir(tmp_path / "run", config, config)
    write_json(tmp_path / "run" / "results.json", found)
    with pytest.raises(UserError, match=r"results\.json is damaged: expected the metrics of a fin"):
        finished_results(tmp_path / "run", config)


@pytest.mark.parametrize("variant", ["source", "oracle", "max_square"])
def test_keys_that_a_run_does_not_use(tmp_path: Path, variant: str) -> None:
    """A source-only network may start adaptations with other loss weights."""
    config = base_config("demo", variant)
    claim_workdir(tmp_path / "run", config, config)
    write_json(tmp_path / "run" / "results.json", RESULTS)
    config.lambda_target, config.learning_rate = 2.0, 1e-2
    if variant != "max_square":
        assert finished_results(tmp_path / "run", config) == RESULTS
        config.source_learning_rate = 1e-2
    with pytest.raises(UserError, match="learning_rate"):
        finished_results(tmp_path / "run", config)


def test_another_configuration_is_refused_with_its_keys(tmp_path: Path, snapshot) -> None:
    workdir = _run(tmp_path / "run")
    other = base_config("demo", "minent")
    other.model.width, other.debug, other.source_size = 32, True, (96, 160)
    before = snapshot(tmp_path)
    with pytest.raises(UserError) as caught:
        finished_results(workdir, other)
    lines = str(caught.value).splitlines()
    assert str(workdir) in lines[0]
    assert lines[1:-1] == [
        "  model.width: 64 -> 32",
        "  source_size: [720, 1280] -> [96, 160]",
        "  variant: 'max_square_iw_multi' -> 'minent'",
    ]
    assert "--workdir" in lines[-1]
    assert snapshot(tmp_path) == before


def test_open_key_is_named_with_what_was_decided(tmp_path: Path) -> None:
    """Also where what is given now is what was decided: other keys may follow from it."""
    given, workdir = base_config("demo"), tmp_path / "run"
    given.iw_alpha = 0.5
    claim_workdir(workdir, given, complete(given))
    assert finished_results(workdir, given) is None
    given.steps, given.normalization = 7, "official"
    with pytest.raises(UserError) as caught:
        finished_results(workdir, given)
    assert str(caught.value).splitlines()[1:-1] == [
        "  normalization: None (decided: 'official') -> 'official'",
        "  steps: None (decided: 29750) -> 7",
    ]
    claim_workdir(tmp_path / "other", given, complete(given))
    given.steps = None
    with given.unlocked():
        given.city = "Rome"
    with pytest.raises(UserError, match=r"in\n  city: None -> 'Rome'\n  steps: 7 -> None\nRun"):
        finished_results(tmp_path / "other", given)


def test_run_of_an_earlier_version_is_not_continued(tmp_path: Path, snapshot) -> None:
    workdir = _run(tmp_path / "run")
    (workdir / "config_as_given.json").unlink()
    before = snapshot(tmp_path)
    with pytest.raises(UserError, match=r"has no config_as_given\.json, which says"):
        finished_results(workdir, base_config("demo"))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_run_is_refused_and_left_alone(tmp_path: Path, kind: str, snapshot) -> None:
    workdir = tmp_path / "thesis"
    if kind == "folder":
        workdir.mkdir()
        (workdir / "chapter.txt").write_text("words")
    else:
        workdir.write_text("words")
    before = snapshot(tmp_path)
    with pytest.raises(UserError, match=r"thesis exists and is not a run .*--workdir"):
        finished_results(workdir, base_config("demo"))
    assert snapshot(tmp_path) == before


def test_workdir_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to --workdir .*file/run"):
        claim_workdir(tmp_path / "file" / "run", base_config("demo"), base_config("demo"))


def test_damaged_configuration_is_named(tmp_path: Path) -> None:
    workdir = _run(tmp_path / "run")
    (workdir / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"cannot read .*run/config\.json"):
        finished_results(workdir, base_config("demo"))


def test_json_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "results.json"
    write_json(path, RESULTS)

    def break_off(self: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", break_off)
    with pytest.raises(OSError, match="disk full"):
        write_json(path, {})
    assert json.loads(path.read_text()) == RESULTS


def test_run_that_was_killed_at_once_can_be_started_again(tmp_path: Path) -> None:
    """It has left its lock and an incomplete configuration, nothing else."""
    config, workdir = base_config("demo"), tmp_path / "run"
    workdir.mkdir()
    for name in ("training.lock", "config_as_given.json", ".config.json.0000000a.partial"):
        (workdir / name).write_text("{")
    assert finished_results(workdir, config) is None
    claim_workdir(workdir, config, config)
    names = ["config.json", "config_as_given.json", "training.lock"]
    assert sorted(path.name for path in workdir.iterdir()) == names
    assert finished_results(workdir, config) is None
    (workdir / ".results.json.0000000a.partial").write_text("{")
    (workdir / "mine").write_text("words")
    claim_workdir(workdir, config, config)
    assert sorted(path.name for path in workdir.iterdir()) == sorted([*names, "mine"])


# The newest run.


def test_newest_run_is_the_last_that_was_started_or_ended(tmp_path: Path) -> None:
    config, root = base_config("demo", "minent"), tmp_path / "runs"
    for seed in range(3):
        workdir = _run(root / f"demo-minent-seed{seed}")
        os.utime(workdir / "config.json", (100 + seed, 100 + seed))
    _run(root / "demo-minent_iw-seed0")  # newer, of another variant
    (root / "demo-minent-seed9").mkdir()  # no run
    (root / "demo-minent-seed0" / "eval").mkdir()  # an evaluation does not make a run newer
    assert newest_run(config, root) == root / "demo-minent-seed2"
    write_json(root / "demo-minent-seed1" / "results.json", RESULTS)
    assert newest_run(config, root) == root / "demo-minent-seed1"


def test_no_run_yet_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.py --config demo:hard.*--checkpoint"):
        newest_run(base_config("demo", "hard"), tmp_path)


# Paths of checkpoints.


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    return _run(root / "run", source={4: 0.3, 8: 0.2}, adapt={10: 0.1, 20: 0.5, 30: 0.4})


@pytest.mark.parametrize(
    ("which", "stage", "step"),
    [
        ("", "adapt", 30),
        (":best", "adapt", 20),
        (":20", "adapt", 20),
        (":30", "adapt", 30),
        (":source", "source", 8),
    ],
)
def test_find_checkpoint(two_stages: Path, which: str, stage: str, step: int, snapshot) -> None:
    before = snapshot(two_stages)
    found = find_checkpoint(f"{two_stages}{which}")
    config = json.loads(as_json(base_config("demo")))
    assert found == (two_stages / stage, step, config, which.removeprefix(":"))
    assert snapshot(two_stages) == before


@pytest.mark.parametrize(
    ("stage", "step", "which"), [("adapt", 20, "20"), ("source", 8, "source-8")]
)
def test_folder_of_a_step(two_stages: Path, stage: str, step: int, which: str) -> None:
    """As eval.py prints it."""
    found = find_checkpoint(two_stages / stage / str(step))
    assert (found.folder, found.step, found.which) == (two_stages / stage, step, which)
    with pytest.raises(UserError, match=rf"no checkpoint '7' in .*/{stage}; choose a step of"):
        find_checkpoint(two_stages / stage / "7")


@pytest.mark.parametrize(("which", "step"), [("", 8), (":best", 4), (":4", 4), (":source", 8)])
def test_run_of_the_source_stage_alone(tmp_path: Path, which: str, step: int) -> None:
    workdir = _run(tmp_path / "run", source={4: 0.3, 8: 0.2})
    (workdir / "adapt").mkdir()  # its first checkpoint is still to come
    assert find_checkpoint(f"{workdir}{which}")[:2] == (workdir / "source", step)


@pytest.mark.parametrize("which", ["10", "7", "last", "-1", "Best"])
def test_wrong_checkpoint_lists_the_choices(two_stages: Path, which: str) -> None:
    with pytest.raises(UserError) as caught:
        find_checkpoint(f"{two_stages}:{which}")
    for part in (repr(which), "[20, 30]", "'best'", "'source'", "workdir alone"):
        assert part in str(caught.value)


def test_run_without_a_source_stage_says_so(tmp_path: Path) -> None:
    workdir = _run(tmp_path / "run", adapt={2: 0.1})
    with pytest.raises(UserError, match=r"run:source: no checkpoint yet in source of "):
        find_checkpoint(f"{workdir}:source")


def test_run_without_checkpoints_says_so(tmp_path: Path, snapshot) -> None:
    workdir = _run(tmp_path / "run")
    before = snapshot(tmp_path)
    with pytest.raises(UserError, match="no checkpoint yet in adapt or source of"):
        find_checkpoint(workdir)
    assert snapshot(tmp_path) == before


def test_path_with_a_colon(tmp_path: Path) -> None:
    workdir = _run(tmp_path / "at 12:30", source={4: 0.3, 8: 0.2})
    assert find_checkpoint(workdir).step == 8
    assert find_checkpoint(f"{workdir}:best").step == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", r"nothing is not a run: .*config\.json.*does not exist"),
        ("nothing:best", r"nothing is not a run: .*does not exist"),
        ("folder", r"folder is not a run: expected a folder with config\.json"),
    ],
)
def test_what_is_no_run(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=message):
        find_checkpoint(tmp_path / name)


@pytest.mark.parametrize("part", ["adapt", "eval"])
def test_where_a_part_of_a_run_is_given_the_run_is_named(two_stages: Path, part: str) -> None:
    """Other commands print such paths."""
    path = two_stages / part
    path.mkdir(exist_ok=True)
    (path / "a").touch()
    with pytest.raises(UserError, match=rf"is not a run: .*; the run is {two_stages}$"):
        find_checkpoint(path)
    with pytest.raises(UserError, match=rf"; the run is {two_stages}\. Give another --workdir"):
        finished_results(path, base_config("demo"))
