"""Names of classes and files are data, and what lies in a file's place is not opened blindly."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from saved_states import save_stage
from trees import write_cityscapes

from msl_jax.config import base_config, presets
from msl_jax.config.keys import as_json, check_config
from msl_jax.data.datasets.cityscapes import Cityscapes
from msl_jax.data.datasets.class_file import read_classes
from msl_jax.data.labels import LabelClass, LabelSet
from msl_jax.data.listing import children, list_files
from msl_jax.experiment.log import StageLog
from msl_jax.models.spec import NetworkSpec
from msl_jax.runs import checksums, scalars
from msl_jax.runs.arrays import read_tree, write_tree
from msl_jax.runs.classes import known_classes
from msl_jax.runs.lock import LOCK, workdir_lock
from msl_jax.runs.table import print_results
from msl_jax.runtime import connection
from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.runtime.files import read_json
from msl_jax.runtime.paths import absolute
from msl_jax.runtime.text import has_controls, lines, one_line
from msl_jax.tasks.photos import no_formula
from msl_jax.weights.find import find


def _table(*names: str, width: int = 100) -> str:
    metrics = {"iou": dict.fromkeys(names, 0.5), "miou": 0.375, "pixel_accuracy": 0.5}
    return _printed(metrics, width)


def _printed(metrics: dict[str, Any], width: int = 100) -> str:
    final = {"target": metrics, "source": metrics}
    results = {"config": "[x]", "variant": "source", "seed": 0, "final": final}
    out = io.StringIO()
    print_results(results, Console(file=out, width=width))
    return out.getvalue()


def test_brackets_and_control_characters_are_shown() -> None:
    shown = _table("[void]", "lamp [/post]", "\x1b[2Jred", "two\nlines", os.fsdecode(b"\xe9"))
    for text in ("[void]", "lamp [/post]", r"\x1b[2Jred", r"two\nlines", r"\udce9", "[x]:source"):
        assert text in shown
    assert "\x1b" not in shown


def test_long_name_leaves_the_figures() -> None:
    shown = _table("x" * 300, width=60)
    assert shown.count("50.0") == 4
    assert shown.count("x") >= 300


def test_one_line() -> None:
    assert one_line("é [b] \t\x9b\u202e") == "é [b] \\t\\x9b\\u202e"
    assert lines("a\x1b\nb") == "a\\x1b\nb"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-x", "@x", "\tx"])
def testno_formula(text: str) -> None:
    assert no_formula(text, "./") == "./" + text
    assert no_formula("a" + text, "./") == "a" + text


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_lock_that_is_a_link(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    link(run / LOCK, precious)
    with pytest.raises(UserError, match="cannot write to --workdir"), workdir_lock(run):
        pass
    assert precious.read_text() == "mine"
    assert (run / LOCK).samefile(precious)


def test_log_that_is_a_link(tmp_path: Path) -> None:
    precious, path = tmp_path / "precious", tmp_path / "logs" / scalars.NAME
    precious.write_text("")
    path.parent.mkdir()
    path.symlink_to(precious)
    with pytest.raises(UserError, match=r"metrics\.jsonl: the log cannot be written \(a symbolic"):
        StageLog("source-only", path.parent, 0, 4)
    assert (precious.read_text(), path.is_symlink()) == ("", True)


def test_lock_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(UserError, match="not a regular file"), workdir_lock(tmp_path):
        pass


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors", "classes.yaml", "config.json"])
def test_pipe_in_the_place_of_a_file(tmp_path: Path, name: str) -> None:
    """It is refused at once; opening it would wait for somebody to write."""
    os.mkfifo(path := tmp_path / name)
    read = {"classes.yaml": read_classes, "config.json": read_json}.get(name, find)
    with pytest.raises(UserError, match="not a regular file"):
        read(path)


def test_pipe_in_the_place_of_a_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / scalars.NAME)
    with pytest.raises(OSError, match="not a regular file"):
        scalars.read_scalars(tmp_path)
    with pytest.raises(UserError, match=r"metrics\.jsonl: the log cannot be written \(not a reg"):
        StageLog("source-only", tmp_path, 0, 4)


def test_pipe_in_the_place_of_checksums(tmp_path: Path) -> None:
    checkpoints = save_stage(tmp_path / "adapt", 0.5)
    for name in (checksums.NAME, "variables/_METADATA"):
        path = tmp_path / "adapt" / "10" / name
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(DamagedError, match="not a regular file"):
            checkpoints.check(10)


@pytest.mark.parametrize("name", ["manifest.ocdbt", "d/pipe"])
def test_pipe_among_the_arrays(tmp_path: Path, name: str) -> None:
    write_tree(tmp_path / "tree", {"a": np.ones(3)})
    path = tmp_path / "tree" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(DamagedError, match=rf"{name}: neither a regular file nor a folder"):
        read_tree(tmp_path / "tree")


@pytest.mark.parametrize(
    "address", ["none", "", "host", "host:", ":1", "host:port", "a b:1", "host:0", "host:65536"]
)
def test_address_of_the_coordinator_that_is_none(monkeypatch, address: str) -> None:
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", address)
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    with pytest.raises(UserError, match="expected HOST:PORT"):
        connection.connect()


@pytest.mark.parametrize(("count", "index"), [("-3", "0"), ("0", "0"), ("2", "2"), ("2", "-1")])
def test_number_of_processes_that_is_none(monkeypatch, count: str, index: str) -> None:
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1234")
    monkeypatch.setenv("JAX_NUM_PROCESSES", count)
    monkeypatch.setenv("JAX_PROCESS_ID", index)
    with pytest.raises(UserError, match=f"JAX_NUM_PROCESSES={count}, JAX_PROCESS_ID={index}: exp"):
        connection.connect()


@pytest.mark.parametrize("name", ["a\nerror: forged.png", "\x1b[2J.png", "a\u2028.png"])
def test_file_with_control_characters_in_its_name(tmp_path: Path, name: str) -> None:
    """Listed as it is, it would look like a line of this program."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / name).write_bytes(b"")
    for read in (list_files, children):
        with pytest.raises(
            UserError, match=r"images: rename '.*\\.*': expected names without"
        ) as said:
            read(tmp_path / "images")
        assert not has_controls(str(said.value))


@pytest.mark.parametrize("name", ["a\nerror: forged", "\x1b[2J"])
def test_published_layout_with_control_characters_in_a_name(tmp_path: Path, name: str) -> None:
    image = write_cityscapes(tmp_path) / "leftImg8bit" / "val" / "lindau" / "x_leftImg8bit.png"
    image.with_name(f"{name}_leftImg8bit.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"val: rename 'lindau/.*\\.*': expected names") as said:
        Cityscapes(tmp_path).pairs("val")
    assert not has_controls(str(said.value))


@pytest.mark.parametrize("name", ["a\nerror: forged", "\x1b[2J"])
def test_classes_of_a_file_with_control_characters(name: str) -> None:
    """Of a run, or of somebody's weights."""
    kept = LabelSet("s", (LabelClass(name, (0, 0, 0)),)).to_json()
    with pytest.raises(UserError, match=r"classes is not readable .*control characters") as said:
        known_classes(kept, "classes.json", "run")
    assert not has_controls(str(said.value))


def test_title_of_converted_weights_is_one_line(tmp_path: Path) -> None:
    said = {"network": asdict(NetworkSpec({}, None)), "heads": [], "from": "x\nerror: no\x1b"}
    (tmp_path / "weights.json").write_text(json.dumps(said))
    checksums.write(tmp_path)
    assert find(tmp_path).title == r"converted from x\nerror: no\x1b"


def test_class_that_was_not_measured() -> None:
    metrics = {"iou": {"a\nerror: \x1b": None}, "miou": None, "pixel_accuracy": 0.5}
    assert r"never predicted): a\nerror: \x1b" in _printed(metrics)


def test_path_with_control_characters() -> None:
    with pytest.raises(UserError, match=r"out\\x1b\[2J: expected a path without control"):
        absolute("out\x1b[2J")


_VALUES = (
    None,
    True,
    -1,
    0,
    2.5,
    1e400,
    10**30,
    "",
    "x",
    [],
    [[]],
    [1, "x"],
    {},
    {"a": 1},
    "\ud800",
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else ()
    return [at, *(place for key, part in inner for place in _places(part, (*at, key)))]


def _mutated(values: Any, rng: random.Random) -> Any:
    values = json.loads(json.dumps(values))
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.choice(_places(values))
        if not place:
            continue
        *above, key = place
        group = values
        for name in above:
            group = group[name]
        match rng.randrange(4):
            case 0:
                del group[key]
            case 1:
                group[rng.choice(("new", "", "a.b", "model"))] = rng.choice(_VALUES)
            case _:
                group[key] = rng.choice(_VALUES)
    return values


@pytest.mark.parametrize(
    ("name", "variant", "task"),
    [
        ("camvid", "max_square_iw_multi", "segmentation"),
        ("office31", "dann", "classification"),
    ],
)
def test_wrong_types_in_a_configuration(name: str, variant: str, task: str) -> None:
    """Mutations of config.json: each is a configuration, or one message."""
    rng = random.Random(0)
    config = base_config(name, variant, task).unlock()
    config.source_train = config.target_eval = "camvid/train_day"
    values = json.loads(as_json(config))
    refused = 0
    for _ in range(600):
        mutated = _mutated(values, rng)
        try:
            check_config(presets.restored(mutated, "config.json"))
        except UserError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}: {mutated}") from error
    assert refused > 300
