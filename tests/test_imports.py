"""What makes a step, evaluates and compares needs little: nothing that reads data or saves."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Flax imports rich itself: it is taken away behind its back.
BLOCKED = ("grain", "tensorflow_datasets", "array_record", "orbax", "rich", "PIL", "safetensors")
LIGHT = (
    "msl_jax.losses",
    "msl_jax.losses.upsampled",
    "msl_jax.losses.guidance",
    "msl_jax.models",
    "msl_jax.methods.segmentation",
    "msl_jax.methods.classification",
    "msl_jax.training.loop",
    "msl_jax.training.optimizer",
    "msl_jax.training.step",
    "msl_jax.evaluation.segmentation",
    "msl_jax.convert",
    "benchmarks.support.our_steps",
    "benchmarks.parity",
    "benchmarks.accelerator.__main__",
    "benchmarks.accelerator.device",
    "benchmarks.accelerator.exactness",
    "benchmarks.accelerator.loss_layer",
    "benchmarks.accelerator.steps",
)

_PROGRAM = """
import importlib, sys
import flax.linen
for name in {blocked!r}:
    for loaded in [m for m in sys.modules if m.split(".")[0] == name]:
        del sys.modules[loaded]
    sys.modules[name] = None
for name in {modules!r}:
    importlib.import_module(name)
"""


def test_without_what_reads_data_draws_tables_or_saves():
    program = _PROGRAM.format(blocked=BLOCKED, modules=LIGHT)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("module", ["msl_jax.data.pipeline", "msl_jax.runs.checkpoints"])
def test_the_block_blocks(module):
    program = _PROGRAM.format(blocked=BLOCKED, modules=[module])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode != 0
    assert "ModuleNotFoundError" in done.stderr


def test_every_public_name_in_a_process_that_has_imported_nothing():
    program = "import msl_jax\nfor name in msl_jax.__all__: getattr(msl_jax, name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
