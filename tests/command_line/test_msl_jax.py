"""The command `msl-jax`: it finds commands and configurations, and says which code runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import msl_jax
from msl_jax.cli import listing
from msl_jax.cli.main import COMMANDS, main
from msl_jax.runtime import command_line, configs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def msl_jax_command(command):
    """Function that runs `msl-jax` as an installed script does."""
    return lambda *args: command("msl_jax/__main__.py", *args)


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_names_every_command(msl_jax_command, arguments) -> None:
    outcome = msl_jax_command(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    for name in COMMANDS:
        assert f"\n  {name} " in outcome.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(msl_jax_command, monkeypatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = msl_jax_command(name, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"msl-jax {name} " in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_version(msl_jax_command) -> None:
    assert msl_jax_command("--version").out.strip() == msl_jax.__version__


def test_no_message_names_a_script_that_only_a_clone_has() -> None:
    """But for what `program` and `usage` choose from; docstrings may."""
    named = re.compile(r"\b(train|eval|predict)\.py\b|imageio\[|python -m msl_jax\.convert ")
    for path in Path(msl_jax.__file__).parent.rglob("*.py"):
        nodes = [*ast.walk(ast.parse(path.read_text()))]
        told = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                chosen = re.fullmatch(r"(python )?\w+\.py", node.value)
                found = named.search(node.value)
                assert id(node) in told or chosen or not found, (path.name, node.value)


def test_unknown_command(msl_jax_command) -> None:
    outcome = msl_jax_command("trian")
    assert outcome.code == 2
    assert outcome.err.startswith("error: there is no command 'trian'; did you mean train?")


def test_same_errors_as_the_script(msl_jax_command, command) -> None:
    ours, script = (
        run("--config.lr=1")
        for run in (
            lambda flag: msl_jax_command("train", flag),
            lambda flag: command("train.py", flag),
        )
    )
    assert ours.code == script.code == 2
    assert ours.err == script.err.replace("python train.py", "msl-jax train")


def test_help_of_train_names_what_there_is(msl_jax_command) -> None:
    out = msl_jax_command("train", "--help").out
    for name in configs.configurations():
        assert f"\n  {name} " in out
    assert "max_square_iw_multi" in out
    assert "msl-jax list keys" in out


def test_list_of_something_unknown(msl_jax_command) -> None:
    outcome = msl_jax_command("list", "key")
    assert outcome.code == 2
    assert "invalid choice: 'key'; did you mean keys? choose one of configurations," in outcome.err


def test_lists_without_jax() -> None:
    """What starts at once stays so: all but backbones and keys."""
    program = (
        "import sys\n"
        "from msl_jax.cli import listing\n"
        "from msl_jax.cli.main import usage\n"
        "from msl_jax.cli.train import _choices\n"
        "usage(), _choices()\n"
        "for name in ('configurations', 'variants', 'methods', 'datasets'):\n"
        "    listing.LISTS[name]()\n"
        "assert not {'jax', 'flax'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", [name for name in listing.LISTS if name != "methods"])
def test_one_line_each(name: str) -> None:
    for section in listing.LISTS[name]():
        assert all(section[1].values())
        lines = listing.text(section).splitlines()
        assert len(lines) == 1 + len(section[1])
        assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("given", ["camvid", "camvid.py", "configs/camvid.py"])
@pytest.mark.parametrize("variant", ["", ":max_square"])
def test_configuration_that_comes_along(tmp_path, monkeypatch, given: str, variant: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert configs.found(given + variant) == f"{ROOT / 'configs' / 'camvid.py'}{variant}"


@pytest.mark.parametrize("given", ["camvid.py", "configs/camvid.py"])
def test_own_file_comes_first(tmp_path, monkeypatch, given: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(given)
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    assert configs.found(f"{given}:source") == f"{given}:source"
    Path("camvid").mkdir()  # a folder of data is no configuration
    assert configs.found("camvid") == str(ROOT / "configs" / "camvid.py")


@pytest.mark.parametrize("given", ["nothing", "../configs/camvid.py", "other/camvid.py", ""])
def test_what_is_no_configuration_stays(tmp_path, monkeypatch, given: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert configs.found(given) == given


def test_configurations_of_an_installed_package(tmp_path, monkeypatch) -> None:
    """They are beside the code then; a folder `configs` next to the package is another's."""
    for folder in (tmp_path / "msl_jax" / "configs", tmp_path / "configs"):
        folder.mkdir(parents=True)
        (folder / "demo.py").write_text(f'"""{folder.parent.name}."""')
    monkeypatch.setattr(configs, "_PACKAGE", tmp_path / "msl_jax")
    assert configs.configurations() == {"demo": "msl_jax."}


def test_other_copy_is_said(tmp_path, monkeypatch, capsys) -> None:
    clone = tmp_path / "msl_jax"
    clone.mkdir()
    command_line.note_other_copy(tmp_path)
    assert capsys.readouterr().err == ""
    (clone / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["msl-jax", "--version"])
    main()
    err = capsys.readouterr().err
    assert err.startswith(f"note: this runs the code in {ROOT / 'msl_jax'}, not that in {clone};")
    command_line.note_other_copy(ROOT)
    assert capsys.readouterr().err == ""


def test_script_that_runs_another_copy(tmp_path) -> None:
    """`python -P train.py` leaves the clone out of the path: the installed package is found."""
    (tmp_path / "msl_jax").mkdir()
    (tmp_path / "msl_jax" / "__init__.py").write_text("")
    (tmp_path / "train.py").write_text((ROOT / "train.py").read_text())
    command = [sys.executable, "-P", str(tmp_path / "train.py"), "--help"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert done.stderr.startswith("note: this runs the code in")


@pytest.mark.parametrize("script", ["train.py", "eval.py", "predict.py"])
def test_script_without_the_environment(script: str) -> None:
    command = [sys.executable, "-S", str(ROOT / script)]  # no installed packages
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": ""})
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {sys.executable} has none of the packages")
    assert done.stderr.endswith("pip install -e .\n")


def test_name_in_a_file_of_flags(command, tmp_path) -> None:
    """As on the command line; the folder of data does not exist, which the message tells."""
    (tmp_path / "flags").write_text("--config=camvid_scratch\n--config.data_root=nowhere\n")
    outcome = command("train.py", f"--flagfile={tmp_path / 'flags'}")
    assert outcome.code == 1
    assert outcome.err.startswith("error: CamVid: ")
