"""An experiment whose loss, method, data set and backbone are in a file outside the package."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import msl_jax
from msl_jax.config import base_config
from msl_jax.config.presets import complete
from msl_jax.data.datasets import registry as datasets
from msl_jax.losses.pixelwise import TARGET_LOSSES
from msl_jax.methods.registry import METHODS
from msl_jax.methods.variants import VARIANTS
from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.report.command import write_report
from msl_jax.runtime import registration
from msl_jax.runtime.errors import UserError
from msl_jax.weights.find import find
from msl_jax.weights.registry import NAMES

EXAMPLE = Path(__file__).parents[2] / "docs" / "own_file.py"
PAGE = EXAMPLE.with_name("architecture.md")
TABLES: tuple[dict, ...] = (
    *(TARGET_LOSSES, METHODS["segmentation"], VARIANTS, BACKBONES, NAMES, datasets._OWN),
    registration._origins,
)


@pytest.fixture
def forget() -> Iterator[Callable[[], None]]:
    """Function that empties the tables of what was registered, as in a new process."""
    before = [dict(table) for table in TABLES]

    def forgotten() -> None:
        for table, entries in zip(TABLES, before, strict=True):
            table.clear()
            table.update(entries)
        registration._import.cache_clear()

    yield forgotten
    forgotten()


@pytest.fixture
def own_file(tmp_path: Path, forget) -> Path:
    """The example of the documents, elsewhere."""
    return Path(shutil.copy(EXAMPLE, tmp_path / "mine.py"))


def test_training_evaluation_and_report(
    command, own_file: Path, forget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, output = tmp_path / "run", tmp_path / "output"
    keys = ["--config.method.rise=3", "--config.model.features=4"]
    keys += [f"--config.{stage}steps=4" for stage in ("", "source_")]
    train = ["train.py", f"--config={own_file}", f"--workdir={run}", *keys]
    done = command(*train)
    assert done.code == 0, done.err
    config = json.loads((run / "config.json").read_text())
    assert config["registered_by"] == [str(own_file)]
    assert json.loads((run / "config_as_given.json").read_text())["registered_by"] == []
    assert (config["variant"], config["method"]) == ("rising", {"rise": 3})
    assert config["model"]["features"] == 4
    logged = (run / "logs" / "adapt" / "metrics.jsonl").read_text()
    assert "target/final" in logged
    forget()
    again = command(*train)
    assert "here is its table again" in again.err

    forget()
    evaluation = ["eval.py", f"--checkpoint={run}", f"--output={output}"]
    refused = command(*evaluation)
    assert refused.code == 1
    assert f"config.json: this run needs what {own_file} registers" in refused.err
    assert f"set MSL_JAX_IMPORT={own_file} for this command" in refused.err
    assert not output.exists()
    done = command(*evaluation, f"--config={own_file}")
    assert done.code == 0, done.err
    final = json.loads((run / "results.json").read_text())["final"]
    assert json.loads((output / "results.json").read_text())["final"] == final

    forget()
    with pytest.raises(UserError, match=f"set MSL_JAX_IMPORT={own_file} for this command"):
        write_report(run)
    monkeypatch.setenv("MSL_JAX_IMPORT", str(own_file))
    assert "own_file:rising" in write_report(run, images=0).read_text()


def test_prepare_and_list(
    command, own_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, records = "msl_jax/__main__.py", tmp_path / "records"
    prepare = (program, "prepare", "discs", "--records_dir", records)
    refused = command(*prepare)
    assert (refused.code, "invalid choice: 'discs'" in refused.err) == (2, True)
    monkeypatch.setenv("MSL_JAX_IMPORT", str(own_file))
    done = command(*prepare)
    assert (done.code, done.err) == (0, "")
    assert "discs/dusk: 8 records of 32x48" in done.out
    for what, line in (
        ("datasets", "discs +Discs by day and at dusk. "),
        ("methods", "rising +rising"),
        ("variants", "rising +"),
        ("backbones", "plain +plain network of 8 features; features"),
        ("keys", "method.rise = 100"),
    ):
        assert re.search(f"^  {line}", command(program, "list", what).out, re.MULTILINE), what
    own_file.unlink()
    registration._import.cache_clear()
    registration._origins.clear()
    for arguments in (prepare, (program, "list", "datasets")):
        assert command(*arguments).err.startswith("error: MSL_JAX_IMPORT: there is no file")


def test_data_set_of_files_needs_its_folder(
    command, forget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "import msl_jax\nfrom msl_jax.data.datasets.camvid import CamVid\n"
        "msl_jax.register_dataset(type('Mine', (CamVid,), {'name': 'mine'}))\n"
    )
    monkeypatch.setenv("MSL_JAX_IMPORT", str(tmp_path / "mine.py"))
    prepare = ("msl_jax/data/prepare.py", "mine", "--check_only")
    assert "mine is read from files: give their folder" in command(*prepare).err
    assert f"{tmp_path} lacks the folders" in command(*prepare, "--data_root", tmp_path).err


def test_run_of_another_backbone_names_the_file_of_its_keys(own_file: Path, forget) -> None:
    """Its configuration has `model.features`, which no other process would know."""
    assert complete(base_config("demo")).registered_by == ()
    runpy.run_path(str(own_file))
    config = complete(base_config("demo"))
    assert (config.model.backbone, config.model.features) == ("resnet", 8)
    assert config.registered_by == (str(own_file),)


def test_weights_of_an_own_backbone(
    command, forget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code = "\n".join(block for block in blocks if "class Toy" in block)
    code = code.replace('BACKBONES["toy"] = Toy', 'msl_jax.register_backbone("toy", Toy)')
    code = code.replace(
        'NAMES["toy"] = ToyNames()', 'msl_jax.register_public_names("toy", ToyNames())'
    )
    mine, file, folder = (tmp_path / name for name in ("mine.py", "toy.safetensors", "converted"))
    mine.write_text(f"import msl_jax\n{code}")
    arrays, before = {}, 3
    for i in range(3):
        channels = 8 * 2**i
        arrays[f"features.{2 * i}.weight"] = np.ones((channels, before, 3, 3), np.float32)
        for name in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"features.{2 * i + 1}.{name}"] = np.ones(channels, np.float32)
        before = channels
    save_file(arrays, file)
    convert = ("msl_jax/convert/__main__.py", file, folder)
    assert "not the weights of" in command(*convert).err
    monkeypatch.setenv("MSL_JAX_IMPORT", str(mine))
    done = command(*convert)
    assert done.code == 0, done.err
    assert "backbone toy, features 8" in done.out
    forget()
    assert find(folder).network.model == {"backbone": "toy", "features": 8}
    forget()
    monkeypatch.delenv("MSL_JAX_IMPORT")
    with pytest.raises(UserError, match=r"model.backbone: expected one of"):
        find(folder)


def test_file_has_moved(own_file: Path, forget, monkeypatch: pytest.MonkeyPatch) -> None:
    files = ["/elsewhere/mine.py"]
    with pytest.raises(UserError, match=r"run/config.json: this run needs what /elsewhere/mine.py"):
        registration.expect_files(files, "run/config.json")
    monkeypatch.setenv("MSL_JAX_IMPORT", str(own_file))
    registration.expect_files(files, "run/config.json")
    assert "plain" in BACKBONES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"MSL_JAX_IMPORT: there is no file .*mine.py"),
        ("1 / 0", r"MSL_JAX_IMPORT: .*mine.py: ZeroDivisionError: division by zero"),
        ("", "this run needs what mine.py registers"),
    ],
)
def test_file_that_registers_nothing(
    own_file: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, message: str
) -> None:
    if content is None:
        own_file.unlink()
    else:
        own_file.write_text(content)
    monkeypatch.setenv("MSL_JAX_IMPORT", str(own_file))
    with pytest.raises(UserError, match=message):
        registration.expect_files(["mine.py"], "config.json")


def test_file_is_executed_once(tmp_path: Path, forget, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that registers nothing itself, but imports what does."""
    (tmp_path / "mine.py").write_text("import msl_jax\nmsl_jax.executed += 1")
    monkeypatch.setattr(msl_jax, "executed", 0, raising=False)
    monkeypatch.setenv("MSL_JAX_IMPORT", str(tmp_path / "mine.py"))
    for _ in range(2):
        with pytest.raises(UserError, match="nowhere is not a run"):
            find("nowhere")
    assert msl_jax.executed == 1


def test_names_in_a_runs_folder_execute_nothing(tmp_path: Path, forget) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('executed')")
    with pytest.raises(UserError, match="no command executes only because a run's folder names it"):
        registration.expect_files([str(tmp_path / "mine.py")], "config.json")


@pytest.mark.parametrize("files", ["mine.py", [1], 3, None])
def test_damaged_list_of_files(files: object) -> None:
    with pytest.raises(UserError, match="registered_by: expected a list of files"):
        registration.expect_files(files, "config.json")
