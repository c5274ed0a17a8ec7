"""Real frames from the real pipeline into the real step, and a real training run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.accelerator.steps import pipelined
from benchmarks.accelerator.timing import mean_seconds
from benchmarks.input_pipeline import enlarge
from benchmarks.support import our_steps
from benchmarks.support.measuring import ROOT
from benchmarks.support.work import TrainingWork
from msl_jax.data.augment import Augmentation
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prefetch import Prefetch
from msl_jax.data.prepared.records import prepare


def input_share(
    *, camvid: str, frames: int, original_size: list[int], steps: int, **fields: Any
) -> dict[str, Any]:
    """How long a step waits for its images.

    Args:
        camvid: folder of CamVid.
        frames: number of frames, enlarged and prepared, for both domains.
        original_size: (height, width) of the files that are prepared.
        steps: in each of the three measurements.
        fields: of `TrainingWork`.

    Returns:
        Seconds per step of the pipeline alone, of the step on a batch that stays on the device, and
        of the step with images from the pipeline; the share of the last that is spent waiting.
    """
    work = TrainingWork.from_json(fields)
    with tempfile.TemporaryDirectory() as folder:
        dataset = enlarge(Path(camvid), Path(folder) / "files", frames, _pair(original_size))
        begun = time.perf_counter()
        source, target = (
            prepare(dataset, "train", size, Path(folder) / "records")
            for size in (work.source_size, work.target_size)
        )
        prepared = time.perf_counter() - begun
        built = our_steps.build(work)
        _, state, batch = built
        compiled = our_steps.lower(built, work).compile()
        blurred = Augmentation(blur=True)
        batches = Prefetch(
            TrainingBatches(
                source,
                target,
                batch_size=work.batch_size * jax.local_device_count(),
                seed=0,
                source_augmentation=blurred,
                target_augmentation=blurred,
            )
        )
        next(batches)
        pipeline = mean_seconds(lambda: jax.block_until_ready(next(batches)), steps)
        copied = jax.tree.map(jnp.copy, state)  # the step frees the state that it is given
        alone = mean_seconds(pipelined(compiled, copied, lambda: batch), steps)
        together = mean_seconds(pipelined(compiled, state, lambda: next(batches)), steps)
        batches.close()
    return {
        "prepare_seconds": prepared,
        "pipeline_seconds": pipeline,
        "step_seconds": alone,
        "training_seconds": together,
        "share": 1 - alone / together,
    }


def training(*, arguments: list[str]) -> dict[str, Any]:
    """Runs `train.py`; returns its results and how many seconds it took.

    Args:
        arguments: of its command line, `--config=FILE` first, without `--workdir`.

    Raises:
        RuntimeError: it failed; the message is what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *arguments, f"--workdir={workdir}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        taken = time.perf_counter() - begun
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        results = json.loads((workdir / "results.json").read_text())
    config = arguments[0].removeprefix("--config=")
    return {"config": config, "total_seconds": taken, "results": results}


def _pair(size: list[int]) -> tuple[int, int]:
    return size[0], size[1]
