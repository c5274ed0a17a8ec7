"""One run: trains the stages that are left, evaluates, and keeps everything in the workdir."""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path
from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.data import splits
from msl_jax.data.known_classes import KnownClasses
from msl_jax.data.labelled_records import LabelledRecords
from msl_jax.data.pipeline import example_keys
from msl_jax.data.prepared.records import Records
from msl_jax.experiment.evaluation import DomainEvaluation
from msl_jax.experiment.log import StageLog
from msl_jax.experiment.previews import BatchPreview, Samples
from msl_jax.experiment.rounds import Rounds
from msl_jax.experiment.stage import Stage, StageRun, logged, parts_left
from msl_jax.methods.method import Training
from msl_jax.methods.registry import method_of, training_of
from msl_jax.methods.variants import variant_of
from msl_jax.models import initial_variables
from msl_jax.runs import arrays
from msl_jax.runs.data import data_entry
from msl_jax.runs.resume import StageCheckpoints
from msl_jax.runs.workdir import (
    ADAPT_STAGE,
    BASELINE,
    RESULTS,
    SOURCE_STAGE,
    adaptation_began,
    baseline_in,
    has_checkpoint,
)
from msl_jax.runtime import parallel
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import write_json
from msl_jax.tasks.registry import task_of
from msl_jax.training.nonfinite import NotFinite, searching
from msl_jax.training.state import TrainState
from msl_jax.training.step import TrainStep, replicate
from msl_jax.weights.find import Weights, find


class Experiment:
    """One run: its data, network and folder."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: Path,
        start: Weights | None,
        known: KnownClasses | None = None,
    ) -> None:
        """Opens or prepares all data that the run needs.

        Args:
            config: complete and checked.
            workdir: the run's folder.
            start: weights of `config.init_from`; None where it is empty, and where the workdir
                holds checkpoints of what began with them.
            known: the classes of the run where it has begun; None for a new one.

        Raises:
            UserError: a split or its files are not as they should be, its classes are others, or
                the weights do not fit.
        """
        self.config, self.workdir = config, workdir
        self.variant, self.task = variant_of(config), task_of(config)
        self.model = self.task.model(config)
        # Weights without a classifier, such as ImageNet's, are where the source-only stage begins.
        self.pretrained, self.initial, self._start = False, None, ""
        if start is not None:
            self.pretrained = start.classifies and not config.reinit_heads
            self.initial = start.load(
                self.model, reinit_heads=config.reinit_heads, seed=config.seed
            )
            known = known or start.classes_to_keep(config)
            self._start = arrays.digest(self.initial)
        self._source_role = "target_train" if self.variant.oracle else "source_train"
        source, target = splits.load_labelled(config, self._source_role, known), None
        self.rare_classes = None
        if self.variant.adapt:
            target = splits.load_unlabelled(config, "target_train", known)
            self.rare_classes = splits.build_rare_classes(config, source.records)
        self.source, self.target = source.records, target and target.records
        self.stretched = (target or source).stretched
        self.evaluate = DomainEvaluation(config, self.model, known)
        if parallel.is_first():
            splits.say(split for split in (source, target, *self.evaluate.splits.values()) if split)
            if self.rare_classes and (missed := self.rare_classes.never_drawn):
                names = ", ".join(self.evaluate.label_set.names[label] for label in missed)
                print(
                    f"rare class sampling: no image shows enough of {names}"
                    " (config.method.rare_class_share); they come with other classes alone",
                    file=sys.stderr,
                )
        self.rounds = None
        if target and (labelling := method_of(config, adapt=True).labelling(config)):
            data = (source.records, target.records, self.evaluate.label_set)
            self.rounds = Rounds(config, self.model, labelling, *data, workdir)
        self.samples = Samples(
            self.task.draw(config, self.model, self.evaluate.label_set),
            self.evaluate.records,
            self.task.pictured,
        )

    @property
    def data(self) -> dict[str, dict[str, Any]]:
        """What the run begins with, trains and is evaluated on; see `msl_jax.runs.data`."""
        of_role = {f"{domain}_eval": found for domain, found in self.evaluate.records.items()}
        of_role[self._source_role] = self.source
        if self.target is not None:
            of_role["target_train"] = self.target
        found = {
            role: data_entry(self.config[role], records)
            for role, records in sorted(of_role.items())
        }
        if self.target is not None:  # its labels are not read, whether its records have some or not
            del found["target_train"]["labels"]
        if self._start:
            found["init_from"] = {"split": self.config.init_from, "weights": self._start}
        return {**found, **(self.rounds.data if self.rounds else {})}

    def run(self) -> dict[str, Any]:
        """Trains what is left to train and returns the results, as in `results.json`.

        Raises:
            UserError: a loss that is not finite, or a damaged checkpoint.
            Stopped: a signal asked for it; the same run continues where this one ended.
        """
        config = self.config
        source = Stage(
            SOURCE_STAGE,
            "oracle" if self.variant.oracle else "source-only",
            config.source_steps,
            adapt=False,
        )
        adapt = Stage(
            ADAPT_STAGE,
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
            began = parallel.by_first(lambda: adaptation_began(self.workdir))
            trained = self.pretrained
            if config.source_steps > 0 and not (trained or began):
                self._train(source, variables)
                place = f"{self.workdir}:{SOURCE_STAGE}"
                variables, _ = parallel.read_by_first(
                    lambda: (find(place).load(self.model), None), variables
                )
                trained = True
            baseline = self._baseline(variables if trained else None)
            final, best = self._train(adapt, variables, baseline)
        results = {
            "config": config.name,
            "variant": config.variant,
            "seed": config.seed,
            "source_only": baseline,
            "final": final,
            "best": best,
        }
        parallel.by_first(lambda: write_json(self.workdir / RESULTS, results))
        return results

    def _baseline(self, variables: Any | None) -> dict[str, Any] | None:
        """The evaluation before the first step of the adaptation, kept in the workdir.

        Args:
            variables: None if nothing has been trained before; then nothing is measured.
        """
        path = self.workdir / BASELINE
        if not parallel.by_first(path.exists):
            metrics = None if variables is None else self.evaluate(variables)
            parallel.by_first(lambda: write_json(path, metrics))
        return parallel.by_first(lambda: baseline_in(self.workdir))

    def _train(
        self, stage: Stage, variables: Any, before: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Runs a stage to its end; returns the metrics of its last and its best evaluation.

        There is no best one where the target has no labels. `before` are the metrics before the
        first step.
        """
        config, steps = self.config, stage.steps
        variables = method_of(config, adapt=stage.adapt).extend(config, variables)
        training = training_of(config, self.model, variables["params"], adapt=stage.adapt)
        step = self._step(training)
        checkpoints = StageCheckpoints(self.workdir, stage.name, keep_every=config.keep_every)
        point = checkpoints.restore(training.recommended(training.start(variables)))
        point = point._replace(state=replicate(training.recommended(point.state)))
        start, first = int(point.state.step), point.batches["examples"] if point.batches else 0
        target: Records | LabelledRecords | None = self.target if stage.adapt else None
        rare_classes, rounds = (self.rare_classes, self.rounds) if stage.adapt else (None, None)
        with self._log(stage, start) as log:
            if start == 0 and before:
                log.scalars(0, logged(before))
            if 0 < start < steps:
                log.say(f"{stage.title}: continuing after step {start}")
            for number, end in parts_left(rounds.ends if rounds else (steps,), point):
                if rounds:
                    target, point = rounds.begin(number, point, log)
                with contextlib.closing(
                    splits.build_batches(config, self.source, target, rare_classes)
                ) as batches:
                    if point.batches is not None:
                        batches.set_state(point.batches)
                    preview = BatchPreview(
                        training,
                        batches,
                        self.evaluate.label_set.palette,
                        config.accumulate,
                        self.task.pictured,
                    )
                    run = StageRun(
                        *(stage, training, checkpoints, batches),
                        *(log, self.evaluate, self.samples, preview),
                    )
                    try:
                        point = run.fit(step, point, end, config)
                    except NotFinite as error:
                        first += (error.step - 1 - start) * splits.examples_per_step(config)
                        raise self._not_finite(stage, error, first, target) from error
                    if end == steps:
                        return parallel.by_first(functools.partial(self._outcome, run, point.state))
        raise AssertionError("a stage has a last part")

    def _log(self, stage: Stage, start: int) -> StageLog:
        folder = self.workdir / "logs" / stage.name
        shown, classes = parallel.is_first(), self.evaluate.label_set.names
        return StageLog(stage.title, folder, start, stage.steps, shown=shown, classes=classes)

    def _outcome(
        self, run: StageRun, state: TrainState
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Draws the pictures of a finished stage; the metrics as `_train` returns them."""
        folder, variables = self.workdir / "pictures", run.training.recommended(state).variables
        self.samples.save(variables, folder, run.stage.name)
        run.preview.save(state, folder, run.stage.name)
        return run.checkpoints.results()

    def _step(self, training: Training) -> TrainStep:
        """The step, compiled at its first call."""
        accumulate = self.config.accumulate
        step = training.step(accumulate=accumulate)
        if self.config.debug:
            step = searching(step, training.on_device(accumulate=accumulate))
        return step

    def _not_finite(
        self, stage: Stage, error: NotFinite, first: int, target: Records | LabelledRecords | None
    ) -> UserError:
        """What a user needs to know about a loss that is not finite.

        Args:
            stage: where it occurred.
            error: the loss.
            first: number of the first example of its step.
            target: what it trained on besides the source.
        """
        records = {"source": self.source, "target": target}
        count = splits.examples_per_step(self.config)
        drawn = {
            "seed": self.config.seed,
            "rare_classes": self.rare_classes if stage.adapt else None,
        }
        examples = "".join(
            f"\n  {name}: {', '.join(example_keys(r, name, first, count, **drawn))}"
            for name, r in records.items()
            if r is not None
        )
        kept = any(has_checkpoint(self.workdir, name) for name in (SOURCE_STAGE, ADAPT_STAGE))
        found, advice = "", "; the same command with --config.debug=true names the operation"
        if self.config.debug:
            found = f"\nIt begins with: {error.operation or 'no single operation'}"
            advice = ""
        return UserError(
            f"{stage.title}: {error}\nExamples of that step:{examples}{found}\n"
            f"{'The last checkpoint is kept. ' if kept else ''}"
            "Start again in another --workdir with a lower config.learning_rate (with"
            " --config.init_from=WORKDIR:source where the source-only stage is finished) or"
            f" config.source_learning_rate{advice}."
        )
