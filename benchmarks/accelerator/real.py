"""Real frames through the real pipeline into the real step, and a real training run."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from benchmarks.accelerator.timing import time_rounds
from benchmarks.input_pipeline import enlarge
from benchmarks.support import our_steps
from benchmarks.support.measuring import ROOT
from benchmarks.support.work import TrainingWork
from msl_jax.data.augment import Augmentation
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prefetch import Prefetch
from msl_jax.data.prepared.records import prepare
from msl_jax.training.nonfinite import expect_finite


def input_share(
    *, camvid: str, frames: int, original_size: list[int], steps: int, seconds: float, **fields: Any
) -> dict[str, Any]:
    """How long a step waits for its images.

    Args:
        camvid: folder of CamVid.
        frames: enlarged and prepared, for both domains.
        original_size: (height, width) of the files that are prepared.
        steps: of the training.
        seconds: for the step on one batch that lies on the device.
        fields: of `TrainingWork`.

    Returns:
        Seconds a step of the pipeline alone, of the step alone, and of training as the loop does
        it, one step ahead of its metrics; the share of the last that is not the step.
    """
    work = TrainingWork.from_json(fields)
    function, state, batch = our_steps.build(work)
    with our_steps.matmul_precision(work.precision):
        compiled = function.lower(state, batch).compile()
    with tempfile.TemporaryDirectory() as folder:
        dataset = enlarge(Path(camvid), Path(folder) / "files", frames, _pair(original_size))
        begun = time.perf_counter()
        source, target = (
            prepare(dataset, "train", size, Path(folder) / "records")
            for size in (work.source_size, work.target_size)
        )
        prepared = time.perf_counter() - begun
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
        begun = time.perf_counter()
        for _ in range(steps):
            jax.block_until_ready(next(batches))
        pipeline = (time.perf_counter() - begun) / steps

        def run() -> None:
            nonlocal state
            state, metrics = compiled(state, batch)
            jax.block_until_ready((state, metrics))

        alone = time_rounds(run, seconds)["seconds"]
        previous = None
        begun = time.perf_counter()
        for number in range(steps):
            state, metrics = compiled(state, next(batches))
            if previous is not None:
                expect_finite(previous, number)
            previous = metrics
        jax.block_until_ready(state)
        together = (time.perf_counter() - begun) / steps
        batches.close()
    return {
        "prepare_seconds": prepared,
        "pipeline_seconds": pipeline,
        "step_seconds": alone,
        "training_seconds": together,
        "share": max(0.0, 1 - alone / together),
    }


def training(*, arguments: list[str], limit: float) -> dict[str, Any]:
    """`train.py` with these arguments: its results, seconds of the whole and what it printed last.

    Args:
        arguments: of its command line, `--config=FILE` first, without `--workdir`.
        limit: seconds after which it is ended.

    Raises:
        RuntimeError: it failed; the message is what it printed last.
    """
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *arguments, f"--workdir={workdir}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=limit,
        )
        taken = time.perf_counter() - begun
        printed = (done.stderr + done.stdout)[-4000:]
        if done.returncode:
            raise RuntimeError(printed)
        results = json.loads((workdir / "results.json").read_text())
    config = arguments[0].removeprefix("--config=")
    return {"config": config, "total_seconds": taken, "results": results, "printed": printed}


def _pair(size: list[int]) -> tuple[int, int]:
    return size[0], size[1]
