"""Processes of one run that were given different configurations or places."""

from __future__ import annotations

from pathlib import Path

from processes import run_together

SCRIPT = """
import os
from msl_jax.runtime import connection, parallel
from msl_jax.runtime.command_line import guard
index = int(os.environ["JAX_PROCESS_ID"])
def command():
    connection.connect()
    parallel.expect_same("config.", {"seed": 7, "name": os.fsdecode(b"\\xe9")})
    print("the same")
    parallel.expect_same("config.", {"seed": 7 * index, "rate": 0.5, f"of{index}": None})
    print("never")
guard(command, "stopped")
"""


def test_keys_that_differ_are_named_in_every_process() -> None:
    for ended in run_together(2, "-c", SCRIPT):
        assert ended.code == 1
        assert ended.out.endswith("the same\n")
        assert ended.err.count("error: ") == 1
        assert "Traceback" not in ended.err
        assert "\n  config.seed: 0 in process 0, 7 in process 1\n" in ended.err
        assert "rate" not in ended.err


COMMANDS = """
import os, runpy, sys
from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.train import train
from msl_jax.runtime.errors import UserError
index = os.environ["JAX_PROCESS_ID"]
config = runpy.run_path("configs/demo.py")["get_config"]("max_square")
here = f"{sys.argv[1]}/{index}"
for command in (lambda: train(config, here), lambda: evaluate(config, here, f"{here}-eval")):
    try:
        command()
    except UserError as error:
        print(error)
"""


def test_places_that_differ_are_named(tmp_path: Path) -> None:
    for ended in run_together(2, "-c", COMMANDS, tmp_path):
        assert ended.code == 0, ended.err
        for flag, end in (("workdir", ""), ("checkpoint", ""), ("output", "-eval")):
            first, second = (f"'{tmp_path}/{index}{end}'" for index in (0, 1))
            assert f"\n  --{flag}: {first} in process 0, {second} in process 1\n" in ended.out
    assert list(tmp_path.iterdir()) == []
