"""Processes of one run that were given different configurations."""

from __future__ import annotations

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
