"""`python eval.py`: evaluates a checkpoint on both domains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml_collections import config_dict

from msl_jax.experiment.evaluation import DomainEvaluation
from msl_jax.runs import workdir
from msl_jax.runs.table import print_results
from msl_jax.runtime import parallel
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model
from msl_jax.weights.find import Weights
from msl_jax.weights.trained import open_trained


def _output_folder(weights: Weights, output: str | None) -> Path:
    """The folder for the results.

    Raises:
        UserError: it is a run's workdir, whose own results would be lost.
    """
    if weights.run is not None:
        which = weights.run.which
        default = weights.run.folder.parent / (f"eval-{which}" if which else "eval")
    elif (path := Path(weights.path)).is_dir():
        default = path / "eval"
    else:
        default = path.with_name(f"{path.stem}-eval")
    folder = Path(output) if output else default
    if (folder / workdir.CONFIG).exists():
        raise UserError(
            f"--output {folder} is a run's workdir: its {workdir.RESULTS} would be replaced; give"
            " another folder"
        )
    return folder


def evaluate(
    config: config_dict.ConfigDict,
    checkpoint: str | None = None,
    output: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluates a checkpoint, writes ``results.json`` and prints the table.

    Several processes (see `msl_jax.runtime.parallel`) share the images out; the first one writes
    and prints.

    Args:
        config: names the run where no checkpoint is given: the newest of this configuration; and
            the data where the checkpoint belongs to no run. Otherwise the run's own counts.
        checkpoint: a path as `msl_jax.weights.find.find` takes it.
        output: folder for the results, default ``WORKDIR/eval``, with ``-best`` or the like
            behind it for such a checkpoint, ``FILE-eval`` beside a file. An older evaluation there
            is replaced.
        overrides: keys to set differently from the run's configuration.

    Returns:
        The results, as in ``results.json``.

    Raises:
        UserError: anything that the user can put right.
    """
    parallel.connect()
    path = checkpoint or parallel.by_first(lambda: str(workdir.newest_run(config)))
    with parallel.losses_explained():
        return _evaluate(config, path, output, overrides or {})


def _evaluate(
    config: config_dict.ConfigDict, path: str, output: str | None, overrides: dict[str, Any]
) -> dict[str, Any]:
    weights, config = parallel.together(lambda: open_trained(path, config, overrides))
    folder = parallel.together(lambda: _output_folder(weights, output))
    model = build_model(config)
    variables = parallel.together(lambda: weights.load(model))
    evaluation = parallel.first_then_others(lambda: DomainEvaluation(config, model))
    # Before the work, after all that can be refused.
    parallel.by_first(lambda: workdir.make_folder(folder, "--output"))
    metrics = evaluation(variables)
    results = {
        "config": config.name,
        "variant": config.variant,
        "seed": config.seed,
        "final": {**metrics, "step": weights.step},
        "eval_size": config.eval_size,
        "flip": config.flip,
        "scales": list(config.scales),
    }
    parallel.by_first(lambda: workdir.write_json(folder / workdir.RESULTS, results))
    if parallel.is_first():
        print_results(results)
        place = weights.run.folder / str(weights.step) if weights.run else weights.path
        print(f"Checkpoint: {place}\nResults: {folder / workdir.RESULTS}")
    return results
