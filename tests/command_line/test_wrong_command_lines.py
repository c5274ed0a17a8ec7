"""Wrong command lines and configurations: one message, and nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from msl_jax.runtime.errors import UserError

ROOT = Path(__file__).parents[2]
CAMVID = f"--config={ROOT / 'configs' / 'camvid_scratch.py'}"


@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("--config.lamda_target=1", ["--config.lamda_target:", "did you mean lambda_target?"]),
        ("--config.model.wdth=1", ["--config.model.wdth:", "did you mean model.width?"]),
        ("--config.zzz=1", ["--config.zzz: no such key. All keys: msl-jax list keys"]),
        ("--config.crop=1", ["did you mean source_augmentation.crop or target_augmentation.crop?"]),
        ("--config.augmentation.crop=1", ["no such key; did you mean source_augmentation.crop"]),
        ("--config.lr=1", ["did you mean learning_rate or source_learning_rate?"]),
        ("--config.epochs=1", ["did you mean steps or source_steps?"]),
        ("--config.backbone=x", ["did you mean model.backbone?"]),
        (
            "--config.lambda=1",
            ["--config.lambda: no such key; did you mean lambda_target, lambda_"],
        ),
        (
            "--config.source_augmentation.class=3",
            ["--config.source_augmentation.class: no such key"],
        ),
        (
            "--config.method=dacs",
            ["method is a group of keys, set as --config.method.KEY=VALUE; a"],
        ),
        ("--config.model=resnet", ["model is a group of keys, set as --config.model.KEY=VALUE. A"]),
        ("--config.batch=1", ["did you mean batch_size, accumulate or eval_batch_size?"]),
        ("--config.method.gan=vanilla", ["a key of adaptsegnet, adaptsegnet_single, advent alone"]),
        ("--lr=1", ["'lr'", "--config.learning_rate"]),
        ("--config.steps.x=1", ["--config.steps.x: no such key"]),
        (
            "--config=configs/nothing.py",
            ["configs/nothing.py", "of your own, or one of camvid, camvid_scratch, city"],
        ),
        ("--config=configs", ["--config=configs: cannot be read", "NAME.py[:VARIANT]"]),
        ("--config.steps=many", ["--config.steps=many", "int()"]),
        ("--config.flip=maybe", ["--config.flip=maybe", "boolean"]),
        ("--config.steps", ["Missing value for flag --config.steps"]),
        ("--wrkdir=x", ["'wrkdir'", "workdir"]),
        ("camvid", ["unexpected argument 'camvid'; did you mean --config=camvid?"]),
        ("--workdir", ["Missing value for flag --workdir"]),
        ("--config.steps=1.5", ["--config.steps=1.5", "int()"]),
        ("--config.learning_rate=fast", ["--config.learning_rate=fast", "float"]),
        ("--config.model.aspp_dilations=(1,2", ["--config.model.aspp_dilations=(1,2", "tuple"]),
        ("--config.seed=", ["--config.seed=", "int()"]),
    ],
)
def test_wrong_command_line(refused, argument: str, parts: list[str]) -> None:
    message = refused("train.py", argument, code=2)
    for part in parts:
        assert part in message
    assert "python train.py [--config" in message  # how it should be


def test_named_pipe_for_a_configuration(refused, tmp_path: Path) -> None:
    """Nobody writes into it: reading it would wait for ever."""
    os.mkfifo(tmp_path / "mine.py")
    message = refused("train.py", f"--config={tmp_path / 'mine.py'}", code=2)
    assert "mine.py: cannot be read; expected a file NAME.py" in message


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nothing_there", "line 1: ModuleNotFoundError: No module named 'nothing_there'"),
        ("\nx = (", "line 2: SyntaxError: '(' was never closed"),
        ("open('gone.txt')", "mine.py: [Errno 2] No such file or directory: 'gone.txt'"),
        (
            "def get_config(v):\n    open('gone.txt')",
            "line 2: FileNotFoundError: [Errno 2] No such file or directory: 'gone.txt'",
        ),
        ("def get_config(v):\n    return y", "line 2: NameError: name 'y' is not defined"),
        ("def get_config(v):\n    return int(v)", "line 2: ValueError: invalid literal for int()"),
        ("def get_config():\n    return 1", "mine.py: TypeError: get_config() takes 0 positional"),
        (
            "from msl_jax.config import base_config\nbase_config('x').lamda_target = 1",
            'line 2: AttributeError: \'Key "lamda_target" does not exist',
        ),
        (
            "from msl_jax.config import base_config\nbase_config('x', 'minents')",
            "error: unknown variant 'minents'",
        ),
    ],
)
def test_own_file_that_fails(refused, tmp_path: Path, code: str, message: str) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(code)
    found = refused("train.py", f"--config={mine}:source")
    assert message in found
    assert found.startswith(f"error: {mine}") or "unknown variant" in found
    assert found.count("\n") == 1
    assert len(found) < 400


def test_flag_file_that_is_missing(refused) -> None:
    assert "flagfile" in refused("eval.py", "--flagfile=missing", code=2)


@pytest.mark.parametrize("script", ["eval.py", "predict.py"])
def test_wrong_flag_of_the_other_commands(refused, script: str) -> None:
    args = ["--checkpoint=x", "--output=y"]
    message = refused(script, *args, "--workdir=z", code=2)
    assert "'workdir'" in message
    assert f"python {script}" in message


@pytest.mark.parametrize("name", ["checkpoint", "input", "output"])
def test_flag_that_is_missing(refused, name: str) -> None:
    given = {"checkpoint": "a", "input": "b", "output": "c"}
    del given[name]
    message = refused("predict.py", *(f"--{k}={v}" for k, v in given.items()), code=2)
    assert message.startswith(f"error: command line: --{name}: missing\n")


def test_flags_that_are_missing_are_one_line(refused) -> None:
    message = refused("predict.py", code=2)
    assert message.startswith("error: command line: --checkpoint, --input, --output: missing\n\n")


def test_unknown_variant_lists_all(refused) -> None:
    message = refused("train.py", f"{CAMVID}:max_squares")
    assert (
        "'max_squares' of the configuration 'camvid_scratch'; did you mean max_square? choose"
        in message
    )
    assert "minent, minent_iw, hard, max_square, max_square_iw" in message


def test_wrong_values_are_listed_together(refused) -> None:
    message = refused("train.py", "--config.steps=0", "--config.momentum=2")
    assert "steps: expected at least 1, found 0" in message
    assert "momentum: expected a number in [0, 1), found 2.0" in message


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("source_size=(24,)", "source_size: expected (height, width), integers of at least 16"),
        ("source_size=24", "source_size: expected (height, width), integers of at least 16"),
        ("source_size=(-24,32)", "integers of at least 16, 67,108,864 pixels at most, found (-24,"),
        ("source_size=(24.5,32)", "found (24.5, 32)"),
        ("source_size=('a','b')", "found ('a', 'b')"),
        ("target_size=(100000,100000)", "67,108,864 pixels at most, found (100000, 100000)"),
        ("source_augmentation.crop=(8,8)", "or () for none, found (8, 8)"),
        ("source_augmentation.scale=(2,1)", "(low, high) with 0 < low <= high, found (2, 1)"),
        ("target_augmentation.jitter=nan", "a number in [0, 1], found nan"),
        ("scales=()", "scales: expected one or more numbers over 0, found ()"),
        ("scales=(0,)", "scales: expected one or more numbers over 0, found (0,)"),
        ("steps=-5", "steps: expected at least 1, found -5"),
        ("steps=99999999999", "poly_steps: expected at most 2147483647, found 99999999999"),
        ("batch_size=0", "batch_size: expected at least 1, at most 65,536, found 0"),
        ("batch_size=1000000000", "batch_size: expected at least 1, at most 65,536, found 1"),
        ("accumulate=1000000000", "accumulate: expected at least 1, at most 65,536, found"),
        ("eval_batch_size=1000000000", "eval_batch_size: expected at least 1, at most 65,536"),
        ("accumulate=60000", "accumulate: expected at most "),
        ("model.width=1000000", "model.width: expected at least 1, at most 4,096, found 1000000"),
        (
            "model.aspp_dilations=(10000,)",
            "aspp_dilations: expected integers of at least 1,",
        ),
        ("name=../../x", "name: expected a name without slashes, found '../../x'"),
        ("eval_every=0", "eval_every: expected at least 1, found 0"),
        ("seed=-1", "seed: expected 0 or more, found -1"),
        ("learning_rate=-1", "learning_rate: expected more than 0, and finite, found -1.0"),
        ("learning_rate=inf", "learning_rate: expected more than 0, and finite, found inf"),
        ("weight_decay=nan", "weight_decay: expected 0 or more, and finite, found nan"),
        ("lambda_target=inf", "lambda_target: expected 0 or more, and finite, found inf"),
        ("iw_alpha=2", "iw_alpha: expected a number in [0, 1], found 2.0"),
        ("num_classes=300", "num_classes: expected at most 254"),
        ("model.depth=18", "model.depth: expected one of 14, 26, 50, 101, found 18"),
        ("model.width=0", "model.width: expected at least 1, at most 4,096, found 0"),
        ("model.aspp_dilations=()", "model.aspp_dilations: expected integers of at least 1"),
        (
            "model.active_dilations=(3,)",
            "model.active_dilations: expected some of model.aspp",
        ),
        ("variant=max_squares", "variant: expected one of 'source', 'target_statistics', 'target_"),
        ("compute_dtype=float16", "compute_dtype: expected one of 'float32', 'bfloat16'"),
        ("eval_size=half", "eval_size: expected one of 'network', 'full', found 'half'"),
        ("on_bad_example=ignore", "on_bad_example: expected one of 'error', 'skip'"),
        ("input_convention=bgr", "input_convention: expected one of 'caffe', 'torchvision'"),
        ("normalization=none", "normalization: expected one of 'official', 'paper'"),
        ("source_train=kitti/train", "Unknown data set in 'kitti/train'"),
        ("source_train=demo/night", "Unknown split 'demo/night'; choose one of"),
        ("num_classes=7", "demo cannot be read with 7 classes"),
        ("init_from=nowhere", "nowhere is not a run: expected a folder with config.json"),
        ("records_dir=/dev/null/x", "Cannot write records below /dev/null/x"),
    ],
)
def test_wrong_value(refused, argument: str, message: str) -> None:
    assert message in refused("train.py", f"--config.{argument}", "--workdir=run")


@pytest.mark.parametrize("kind", ["file", "folder of another program"])
def test_workdir_that_is_no_run(refused, tmp_path: Path, kind: str) -> None:
    workdir = tmp_path / "mine"
    if kind != "file":
        workdir.mkdir()
    (workdir if kind == "file" else workdir / "thesis.txt").write_text("mine")
    message = refused("train.py", f"--workdir={workdir}")
    assert f"{workdir} exists and is not a run of this program" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read {workdir}/config.json"),
        ("[]", "{workdir}/config.json is not a run's configuration: it lacks name, task, variant"),
        (
            '{"name": "demo"}',
            "{workdir}/config.json is not a run's configuration: it lacks task, variant",
        ),
    ],
)
def test_workdir_with_a_damaged_configuration(
    refused, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(content)
    found = refused("train.py", f"--workdir={tmp_path / 'run'}")
    assert message.format(workdir=tmp_path / "run") in found


def test_unknown_preset_lists_all(refused) -> None:
    message = refused("train.py", "--config.preset=x")
    assert "preset: expected one of official, paper, found 'x'" in message


@pytest.mark.parametrize("script", ["train.py", "eval.py", "predict.py"])
def test_help(command, script: str) -> None:
    outcome = command(script, "--help")
    assert outcome.code == 0
    assert f"python {script}" in outcome.out
    assert "--config.KEY=VALUE" in outcome.out
    if script != "train.py":
        about = " ".join(outcome.out.split())
        assert "a checkpoint's folder such as WORKDIR/adapt/20" in about
        assert "PATH,PATH: mean of their logits" in about
    assert outcome.err == ""


def test_debug_shows_where(command) -> None:
    with pytest.raises(UserError, match="nowhere is not a run"):
        command("eval.py", "--checkpoint=nowhere", "--config.debug=true")


def test_keys_that_shrink_would_change(refused, tmp_path: Path) -> None:
    keys = {"source_size": "(96,128)", "source_steps": 50, "steps": 10, "model.depth": 26}
    message = refused(
        "train.py",
        *("--config=demo", "--config.shrink=true", f"--workdir={tmp_path / 'run'}"),
        *(f"--config.{key}={value}" for key, value in keys.items()),
    )
    assert message.splitlines() == [
        "error: config.shrink=true decides sizes, steps and the network itself; leave it out, or"
        " these keys:",
        "  config.source_size: (96, 128) was given, shrink makes it (16, 16)",
        "  config.source_steps: 50 was given, shrink makes it 20",
        "  config.model.depth: 26 was given, shrink makes it 14",
    ]
    assert not (tmp_path / "run").exists()
