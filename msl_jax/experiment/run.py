"""One run: trains the stages that are left, evaluates, and keeps everything in the workdir."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import optax
from ml_collections.config_dict import ConfigDict

from msl_jax.data import splits
from msl_jax.data.pipeline import example_keys
from msl_jax.experiment.evaluation import DomainEvaluation
from msl_jax.experiment.log import StageLog
from msl_jax.experiment.previews import Samples
from msl_jax.experiment.stage import Stage, StageRun
from msl_jax.methods.variants import variant_of
from msl_jax.models import initial_variables
from msl_jax.runs import workdir as runs
from msl_jax.runs.resume import Kept
from msl_jax.runtime import parallel, stopping
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import task_of
from msl_jax.training.loop import evaluation_due, fit
from msl_jax.training.nonfinite import NotFinite, searching
from msl_jax.training.state import TrainState
from msl_jax.training.step import TrainStep, parallel_train_step, replicate
from msl_jax.weights.find import Weights, find


class Experiment:
    """One run: its data, network and folder."""

    def __init__(self, config: ConfigDict, workdir: Path, start: Weights | None) -> None:
        """Opens or prepares all data that the run needs.

        Args:
            config: complete and checked.
            workdir: the run's folder.
            start: weights of `config.init_from`; None where it is empty, and where the workdir
                holds checkpoints of what began with them.

        Raises:
            UserError: a split or its files are not as they should be, or the weights do not fit.
        """
        self.config, self.workdir = config, workdir
        self.variant, self.task = variant_of(config), task_of(config)
        self.model = self.task.model(config)
        # Weights without a classifier, such as ImageNet's, are where the source-only stage begins.
        self.pretrained, self.initial = False, None
        if start is not None:
            self.pretrained = start.classifies and not config.reinit_heads
            self.initial = start.load(
                self.model, reinit_heads=config.reinit_heads, seed=config.seed
            )
        source_role = "target_train" if self.variant.oracle else "source_train"
        self.source, self.target = splits.load_labelled(config, source_role), None
        if self.variant.adapt:
            self.target = splits.load_split(config, "target_train", evaluation=False).records
        self.evaluate = DomainEvaluation(config, self.model)
        self.samples = Samples(
            self.task.draw(config, self.model, self.evaluate.label_set),
            self.evaluate.records,
            self.task.pictured,
        )

    def run(self) -> dict[str, Any]:
        """Trains what is left to train and returns the results, as in `results.json`.

        Raises:
            UserError: a loss that is not finite, or a damaged checkpoint.
            Stopped: a signal asked for it; the same run continues where this one ended.
        """
        config = self.config
        source = Stage(
            runs.SOURCE_STAGE,
            "oracle" if self.variant.oracle else "source-only",
            config.source_steps,
            adapt=False,
        )
        adapt = Stage(
            runs.ADAPT_STAGE,
            config.variant,
            config.steps,
            adapt=True,
        )
        variables, baseline = self.initial, None
        if variables is None:
            variables = initial_variables(self.model, config.seed)
        if not self.variant.adapt:
            final, best = self._train(source, variables)
        else:
            began = parallel.by_first(lambda: runs.adaptation_began(self.workdir))
            if not (self.pretrained or began):
                self._train(source, variables)
                trained = f"{self.workdir}:{runs.SOURCE_STAGE}"
                variables, _ = parallel.read_by_first(
                    lambda: (find(trained).load(self.model), None), variables
                )
            baseline = self._baseline(variables)
            final, best = self._train(adapt, variables)
        results = {
            "config": config.name,
            "variant": config.variant,
            "seed": config.seed,
            "source_only": baseline,
            "final": final,
            "best": best,
        }
        parallel.by_first(lambda: runs.write_json(self.workdir / runs.RESULTS, results))
        return results

    def _baseline(self, variables: Any) -> dict[str, Any]:
        """The evaluation before the first step of the adaptation, kept in the workdir."""
        path = self.workdir / runs.BASELINE
        if not parallel.by_first(path.exists):
            metrics = self.evaluate(variables)
            parallel.by_first(lambda: runs.write_json(path, metrics))
        return parallel.by_first(lambda: runs.read_json(path))

    def _train(self, stage: Stage, variables: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Runs a stage to its end; returns the metrics of its last and its best evaluation.

        There is no best one where the target has no labels.
        """
        variables = self.task.stage_variables(self.config, variables, adapt=stage.adapt)
        step, optimizer = self._step(stage, variables)
        with contextlib.ExitStack() as stack:
            target = self.target if stage.adapt else None
            batches = stack.enter_context(
                contextlib.closing(splits.build_batches(self.config, self.source, target))
            )
            kept = Kept(self.workdir, stage.name, keep_every=self.config.keep_every)
            place = kept.restore(TrainState.create(variables, optimizer))
            if place.batches is not None:
                batches.set_state(place.batches)
            start, steps, config = int(place.state.step), stage.steps, self.config
            first = batches.get_state()["examples"]
            stop = parallel.StopAgreement(stopping.requested)
            log = stack.enter_context(self._log(stage, start))
            if 0 < start < steps:
                log.say(f"{stage.title}: continuing after step {start}")
            run = StageRun(stage, kept, batches, log, self.evaluate, self.samples)
            state = replicate(place.state)
            try:
                with stopping.delayed():
                    if not place.evaluated and evaluation_due(start, steps, config.eval_every):
                        run.evaluate(state)
                    state, window = fit(
                        state,
                        step,
                        batches,
                        steps=steps,
                        log_every=config.log_every,
                        eval_every=config.eval_every,
                        on_step=log.advance,
                        on_log=log.log,
                        on_evaluate=run.evaluate,
                        stop_requested=lambda made: stop(),
                        window=place.window,
                    )
                    if int(state.step) < steps:
                        run.stop(state, window)
            except NotFinite as error:
                first += (error.step - 1 - start) * splits.examples_per_step(config)
                raise self._not_finite(stage, error, first) from error
            return parallel.by_first(lambda: self._outcome(stage, state, kept))

    def _log(self, stage: Stage, start: int) -> StageLog:
        folder = self.workdir / "logs" / stage.name
        return StageLog(stage.title, folder, start, stage.steps, shown=parallel.is_first())

    def _outcome(
        self, stage: Stage, state: TrainState, kept: Kept
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Draws the pictures of a finished stage; the metrics as `_train` returns them."""
        self.samples.save(state.variables, self.workdir / "pictures", stage.name)
        return kept.results()

    def _step(self, stage: Stage, variables: Any) -> tuple[TrainStep, optax.GradientTransformation]:
        """The compiled step of a stage and its optimizer."""
        training = self.task.training(
            self.config, self.model, variables["params"], adapt=stage.adapt
        )
        step = parallel_train_step(*training, accumulate=self.config.accumulate)
        if self.config.debug:
            step = searching(step, *training, accumulate=self.config.accumulate)
        return step, training.optimizer

    def _not_finite(self, stage: Stage, error: NotFinite, first: int) -> UserError:
        """What a user needs to know about a loss that is not finite.

        Args:
            stage: in which it came.
            error: the loss.
            first: number of the first example of its step.
        """
        records = {"source": self.source, "target": self.target if stage.adapt else None}
        count, seed = splits.examples_per_step(self.config), self.config.seed
        examples = "".join(
            f"\n  {name}: {', '.join(example_keys(r, name, first, count, seed=seed))}"
            for name, r in records.items()
            if r is not None
        )
        found, advice = "", "; the same command with --config.debug=true names the operation"
        if self.config.debug:
            found = f"\nIt begins with: {error.operation or 'no single operation'}"
            advice = ""
        return UserError(
            f"{stage.title}: {error}\nExamples of that step:{examples}{found}\nThe last checkpoint"
            " is kept. Start again in another --workdir with a lower config.learning_rate (with"
            " --config.init_from=WORKDIR:source where the source-only stage is finished) or"
            f" config.source_learning_rate{advice}."
        )
