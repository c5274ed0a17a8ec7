"""`python eval.py`: evaluates a checkpoint on both domains."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from msl_jax import runs
from msl_jax.config import VARIANTS, base_config, check_config
from msl_jax.errors import UserError
from msl_jax.evaluation.report import print_results
from msl_jax.parts import DomainEvaluation, build_model, restore_variables


def run_config(saved: dict[str, Any], overrides: dict[str, Any]) -> config_dict.ConfigDict:
    """The configuration of the run that a checkpoint belongs to, with the overrides applied.

    Raises:
        UserError: a value that cannot be.
    """
    missing = sorted(base_config("").keys() - saved.keys())
    if missing:
        raise UserError(f"the checkpoint's {runs.CONFIG} lacks the keys {', '.join(missing)}")
    merged = config_dict.ConfigDict(_tuples(saved), convert_dict=True)
    merged.update_from_flattened_dict(overrides)
    check_config(merged)
    return merged


def _tuples(value: Any) -> Any:
    """JSON knows lists alone; configurations hold tuples."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _output_folder(found: runs.CheckpointPath, output: str | None) -> Path:
    """The folder for the results.

    Raises:
        UserError: it is a run's workdir, whose own results would be lost.
    """
    name = f"eval-{found.which}" if found.which else "eval"
    folder = Path(output) if output else found.folder.parent / name
    if (folder / runs.CONFIG).exists():
        raise UserError(
            f"--output {folder} is a run's workdir: its {runs.RESULTS} would be replaced; give"
            " another folder"
        )
    return folder


def say_which(found: runs.CheckpointPath) -> None:
    """Says so where the source-only stage stands in for an adaptation that has no checkpoint."""
    variant = VARIANTS[found.config["variant"]]
    if variant.adapt and found.folder.name == runs.SOURCE_STAGE:
        print(f"note: step {found.step} of the source-only stage, not adapted", file=sys.stderr)


def evaluate(
    config: config_dict.ConfigDict,
    checkpoint: str | None = None,
    output: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluates a checkpoint, writes ``results.json`` and prints the table.

    Args:
        config: names the run where no checkpoint is given: the newest of this configuration.
        checkpoint: a path as `runs.find_checkpoint` takes it. The run's own configuration counts.
        output: folder for the results, default ``WORKDIR/eval``, with ``-best`` or the like
            behind it for such a checkpoint. An older evaluation there is replaced.
        overrides: keys to set differently from the run's configuration.

    Returns:
        The results, as in ``results.json``.

    Raises:
        UserError: anything that the user can put right.
    """
    check_config(config)
    found = runs.find_checkpoint(checkpoint or runs.newest_run(config))
    config = run_config(found.config, overrides or {})
    folder = _output_folder(found, output)
    say_which(found)
    model = build_model(config)
    variables = restore_variables(found, model)
    evaluation = DomainEvaluation(config, model)
    runs.make_folder(folder, "--output")  # before the work, after all that can be refused
    metrics = evaluation(variables)
    results = {
        "config": config.name,
        "variant": config.variant,
        "seed": config.seed,
        "final": {**metrics, "step": found.step},
        "eval_size": config.eval_size,
        "flip": config.flip,
        "scales": list(config.scales),
    }
    runs.write_json(folder / runs.RESULTS, results)
    print_results(results)
    print(f"Checkpoint: {found.folder / str(found.step)}\nResults: {folder / runs.RESULTS}")
    return results
