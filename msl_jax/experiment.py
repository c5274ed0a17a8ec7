"""One run: trains the stages that are left, evaluates, and keeps everything in the workdir."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import optax
from ml_collections.config_dict import ConfigDict

from msl_jax import config as configuration
from msl_jax import parallel, parts, runs
from msl_jax.checkpoints import Checkpoints
from msl_jax.data.pipeline import Prefetch, TrainingBatches
from msl_jax.logs import StageLog
from msl_jax.models import initial_variables
from msl_jax.samples import Samples
from msl_jax.training.loop import fit
from msl_jax.training.state import TrainState
from msl_jax.training.step import TrainStep, parallel_train_step, replicate
from msl_jax.weights import Weights, find


@dataclasses.dataclass
class Stage:
    """One of the two stages of a run.

    Attributes:
        name: folder of its checkpoints.
        title: for the console.
        steps: its length.
        adapt: whether target images take part.
    """

    name: str
    title: str
    steps: int
    adapt: bool


class Experiment:
    """One run: its data, network and folder."""

    def __init__(self, config: ConfigDict, workdir: Path, start: Weights | None) -> None:
        """Opens or prepares all data that the run needs.

        Args:
            config: complete and checked.
            workdir: the run's folder.
            start: weights of `config.init_from`.

        Raises:
            UserError: a split or its files are not as they should be, or the weights do not fit.
        """
        self.config, self.workdir = config, workdir
        self.variant = configuration.VARIANTS[config.variant]
        self.model = parts.build_model(config)
        # Weights without a final head, such as ImageNet's, are where the source-only stage begins.
        self.pretrained, self.initial = False, None
        if start is not None:
            self.pretrained = "final_head" in start.heads and not config.reinit_heads
            self.initial = start.load(
                self.model, reinit_heads=config.reinit_heads, seed=config.seed
            )
        source_role = "target_train" if self.variant.oracle else "source_train"
        self.source, self.target = parts.load_labelled(config, source_role), None
        if self.variant.adapt:
            self.target = parts.load_split(config, "target_train", evaluation=False).records
        self.evaluate = parts.DomainEvaluation(config, self.model)
        self.samples = Samples(
            parts.build_predictor(config, self.model),
            self.evaluate.label_set.palette,
            self.evaluate.records,
        )

    def run(self) -> dict[str, Any]:
        """Trains what is left to train and returns the results, as in `results.json`."""
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
            if not self.pretrained:
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
        step, optimizer = self._step(stage, variables)
        state, batches = TrainState.create(variables, optimizer), self._batches(stage)
        checkpoints = Checkpoints(self.workdir / stage.name)
        last = parallel.by_first(lambda: checkpoints.latest)
        if last is not None:
            state, place = parallel.read_by_first(lambda: checkpoints.restore(last, state), state)
            batches.set_state(place)
        start, shown = int(state.step), parallel.is_first()
        folder = self.workdir / "logs" / stage.name
        with StageLog(stage.title, folder, start, stage.steps, shown=shown) as log:
            if 0 < start < stage.steps:
                log.say(f"{stage.title}: continuing after step {start}")

            def evaluate(state: TrainState) -> None:
                made, metrics = int(state.step), self.evaluate(state.variables)
                checkpoints.save(state, batches.get_state(), metrics)
                measured = {domain: m["miou"] for domain, m in metrics.items() if m}
                log.scalars(made, {f"miou/{domain}": miou for domain, miou in measured.items()})
                pictures = self.samples(state.variables) if shown else {}
                for name, picture in pictures.items():
                    log.picture(made, name, picture)
                figures = "  ".join(f"{d} mIoU {100 * miou:.1f}" for d, miou in measured.items())
                log.say(f"{stage.title} {made}/{stage.steps}  {figures}")
                log.resume_clock(made)

            state = fit(
                replicate(state),
                step,
                batches,
                steps=stage.steps,
                log_every=self.config.log_every,
                eval_every=self.config.eval_every,
                on_step=log.advance,
                on_log=log.log,
                on_evaluate=evaluate,
            )
        batches.close()
        final, best = parallel.by_first(lambda: self._outcome(stage, state, checkpoints))
        checkpoints.close()
        return final, best

    def _outcome(
        self, stage: Stage, state: TrainState, checkpoints: Checkpoints
    ) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Draws the pictures of a finished stage; the metrics as `_train` returns them."""
        self.samples.save(state.variables, self.workdir / "pictures", stage.name)
        last, best = checkpoints.latest, checkpoints.best()
        assert last is not None
        final = {**checkpoints.metrics(last), "step": last}
        return final, best and {"target": best[1]["target"], "step": best[0]}

    def _step(self, stage: Stage, variables: Any) -> tuple[TrainStep, optax.GradientTransformation]:
        """The compiled step of a stage and its optimizer."""
        training = parts.build_training(
            self.config, self.model, variables["params"], adapt=stage.adapt
        )
        step = parallel_train_step(*training, accumulate=self.config.accumulate)
        return step, training.optimizer

    def _batches(self, stage: Stage) -> Prefetch:
        config = self.config
        batches = TrainingBatches(
            self.source,
            self.target if stage.adapt else None,
            batch_size=config.accumulate * config.batch_size * jax.local_device_count(),
            seed=config.seed,
            source_augmentation=parts.build_augmentation(config.source_augmentation),
            target_augmentation=parts.build_augmentation(config.target_augmentation),
            process=parallel.share(),
        )
        return Prefetch(batches)
