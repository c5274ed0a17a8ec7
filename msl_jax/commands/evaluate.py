"""`python eval.py`: evaluates a checkpoint on both domains or one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from msl_jax.config.keys import flat
from msl_jax.data.splits import say
from msl_jax.experiment.evaluation import DOMAINS, DomainEvaluation
from msl_jax.runs.table import print_results
from msl_jax.runs.workdir import CONFIG, RESULTS, newest_run
from msl_jax.runtime import parallel
from msl_jax.runtime.connection import connect, lost_contact_explained
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import make_folder, read_json, write_json
from msl_jax.runtime.paths import absolute
from msl_jax.tasks.ensemble import build_together
from msl_jax.weights.find import Weights
from msl_jax.weights.trained import open_several


def _output_folder(found: list[Weights], output: str | None, domain: str | None) -> Path:
    """The folder for the results.

    Raises:
        UserError: it is a run's workdir, whose own results would be overwritten, or holds others
            that are not an evaluation's; or the results of several checkpoints belong to none of
            their folders.
    """
    if len(found) > 1 and not output:
        raise UserError(
            f"--output is needed: the results of {' and '.join(w.path for w in found)} together"
            " belong to neither"
        )
    weights, path = found[0], Path(found[0].path)
    which = weights.run.which if weights.run else ""
    # One domain alone does not replace an evaluation of both.
    name = "-".join(filter(None, ["eval", which, domain]))
    if weights.run is not None:
        default = weights.run.folder.parent / name
    else:
        default = path / name if path.is_dir() else path.with_name(f"{path.stem}-{name}")
    folder = absolute(output or default)
    if (folder / CONFIG).exists():
        raise UserError(
            f"--output {folder} is a run's workdir: its {RESULTS} would be replaced; give"
            " another folder"
        )
    if os.path.lexists(folder / RESULTS) and not _is_evaluation(folder / RESULTS):
        raise UserError(
            f"--output {folder}: its {RESULTS} is none of an evaluation, and nothing of somebody"
            " else's is replaced; give another folder"
        )
    return folder


def _is_evaluation(path: Path) -> bool:
    """Whether a file is as this command writes it; a training's has more."""
    try:
        found = read_json(path)
    except UserError:
        return False
    return isinstance(found, dict) and "eval_size" in found and "source_only" not in found


def evaluate(
    config: config_dict.ConfigDict,
    checkpoint: str | None = None,
    output: str | None = None,
    overrides: dict[str, Any] | None = None,
    domain: str | None = None,
) -> dict[str, Any]:
    """Evaluates a checkpoint, writes ``results.json`` and prints the table.

    Several processes (see `msl_jax.runtime.parallel`) divide the images among them; the first one
    writes and prints.

    Args:
        config: without a checkpoint, the newest run of this configuration is evaluated. For a
            checkpoint that is not of a run, it names the data; a run has its own configuration.
        checkpoint: a path as `msl_jax.weights.find.find` takes it; several with commas between
            them predict together, by the mean of their logits, as the first one's configuration
            asks for.
        output: folder for the results; default ``WORKDIR/eval``, with suffixes such as ``-best``
            for such a checkpoint and ``-target`` for one domain, or ``FILE-eval`` next to a file.
            An earlier evaluation there is replaced.
        overrides: keys that replace those of the run's configuration.
        domain: "target" or "source", to evaluate it alone; no file of the other is asked for.

    Returns:
        The results, as in ``results.json``.

    Raises:
        UserError: anything that the user can fix.
    """
    connect()
    with lost_contact_explained():
        parallel.expect_same("config.", flat(config))
        given = {"checkpoint": checkpoint, "output": output, "domain": domain}
        parallel.expect_same("--", given)
        path = checkpoint or parallel.by_first(lambda: str(newest_run(config)))
        return _evaluate(config, path, output, overrides or {}, domain)


def _evaluate(
    config: config_dict.ConfigDict,
    path: str,
    output: str | None,
    overrides: dict[str, Any],
    domain: str | None,
) -> dict[str, Any]:
    trained = parallel.together(lambda: open_several(path, config, overrides))
    found, (config, *_) = [w for w, _ in trained], [c for _, c in trained]
    folder = parallel.together(lambda: _output_folder(found, output, domain))
    model, load = parallel.together(lambda: build_together(trained))
    variables = parallel.together(load)
    evaluation = parallel.first_then_others(lambda: _open(config, model, found[0], domain))
    # Before the work, after all other checks.
    parallel.by_first(lambda: make_folder(folder, "--output"))
    if parallel.is_first():
        say(evaluation.splits.values())
    metrics = evaluation(variables)
    several = len(found) > 1
    results = {
        "config": config.name,
        "variant": "+".join(c.variant for _, c in trained),
        "seed": config.seed,
        "final": {**metrics, "step": None if several else found[0].step},
        "eval_size": config.eval_size,
        "flip": config.flip,
        "scales": list(config.scales),
        **({"checkpoints": [str(_place(weights)) for weights in found]} if several else {}),
    }
    parallel.by_first(lambda: write_json(folder / RESULTS, results))
    if parallel.is_first():
        print_results(results)
        for weights in found:
            print(f"Checkpoint: {_place(weights)}")
        print(f"Results: {folder / RESULTS}")
    return results


def _open(
    config: config_dict.ConfigDict, model: Any, weights: Weights, domain: str | None
) -> DomainEvaluation:
    """The evaluation of one domain or both.

    Raises:
        UserError: as `DomainEvaluation`; says that one domain can be evaluated alone.
    """
    domains = (domain,) if domain else DOMAINS
    try:
        return DomainEvaluation(config, model, weights.known, domains)
    except UserError as error:
        if domain:
            raise
        alone = " or ".join(f"--domain={name}" for name in DOMAINS)
        raise UserError(f"{error} ({alone} evaluates that domain alone.)") from error


def _place(weights: Weights) -> Path:
    return weights.run.folder / str(weights.step) if weights.run else Path(weights.path)
