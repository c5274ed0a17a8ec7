"""From a configuration to a trained run: opens the data, builds the parts, runs the stages."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections.config_dict import ConfigDict

from msl_jax import config as configuration
from msl_jax import runs
from msl_jax.checkpoints import Checkpoints
from msl_jax.data import open_split
from msl_jax.data.augment import Augmentation
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.pipeline import Prefetch, training_batches
from msl_jax.data.records import Records, prepare
from msl_jax.errors import UserError
from msl_jax.evaluation.segmentation import Evaluator, Predictor
from msl_jax.logs import StageLog
from msl_jax.models import DeepLabV2
from msl_jax.samples import Samples
from msl_jax.tasks import segmentation
from msl_jax.training.loop import fit
from msl_jax.training.optimizer import parameter_groups, poly_schedule, sgd
from msl_jax.training.state import TrainState
from msl_jax.training.step import parallel_train_step, replicate


def build_model(config: ConfigDict) -> DeepLabV2:
    """The network that the configuration describes."""
    return DeepLabV2(
        num_classes=config.num_classes,
        depth=config.model.depth,
        width=config.model.width,
        stride_placement=config.model.stride_placement,
        head_rates=tuple(config.model.head_rates),
        active_rates=tuple(config.model.active_rates),
        dtype=jnp.dtype(config.compute_dtype),
    )


def initial_variables(model: DeepLabV2, seed: int) -> Any:
    """Random variables; the same seed gives the same."""
    # The smallest image: shapes of parameters do not depend on its size.
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    init = jax.jit(lambda key: model.init(key, jnp.zeros(images.shape, images.dtype)))
    return init(jax.random.key(seed))


def abstract_variables(model: DeepLabV2) -> Any:
    """Shapes and dtypes of the variables."""
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def load_variables(path: str | Path, model: DeepLabV2) -> Any:
    """The network's variables from a checkpoint path, see `runs.find_checkpoint`.

    Raises:
        UserError: no checkpoint there, or one of another network.
    """
    found = runs.find_checkpoint(path)
    checkpoints = Checkpoints(found.folder)
    try:
        return checkpoints.restore_variables(found.step, abstract_variables(model))
    finally:
        checkpoints.close()


def load_split(config: ConfigDict, role: str, *, evaluation: bool) -> tuple[Records, LabelSet]:
    """Prepared records of the split that the key `role` names, made first if need be.

    Raises:
        UserError: the split or its files are not as they should be.
    """
    dataset, split = open_split(config[role], config.data_root or None)
    if dataset.label_set.num_classes != config.num_classes:
        raise UserError(
            f"config.num_classes is {config.num_classes}, but {config[role]} has"
            f" {dataset.label_set.num_classes} classes: {', '.join(dataset.label_set.names)}"
        )
    domain = "source" if role.startswith("source") else "target"
    records = prepare(
        dataset,
        split,
        tuple(config[f"{domain}_size"]),
        config.records_dir or None,
        keep_label_size=evaluation,
        on_bad_example=config.on_bad_example,
    )
    return records, dataset.label_set


def _expect_labels(records: Records, name: str) -> None:
    """Looks at a few records, so that a run without labels does not train on nothing.

    Raises:
        UserError: all labels that were looked at are empty.
    """
    places = range(0, len(records), max(1, len(records) // 8))
    if all((records[place]["label"] == IGNORE).all() for place in places):
        raise UserError(f"{name} has no labels, but this variant trains on them")


def make_predictor(config: ConfigDict, model: DeepLabV2) -> Predictor:
    """Prediction as the configuration's evaluation keys ask for."""
    return Predictor(model, config.input_convention, config.flip, tuple(config.scales))


def _augmentation(settings: ConfigDict) -> Augmentation:
    low, high = settings.scale
    return Augmentation(
        mirror=settings.mirror,
        blur=settings.blur,
        scale=None if low == high == 1.0 else (low, high),
        crop=tuple(settings.crop) or None,
        jitter=settings.jitter,
    )


class DomainEvaluation:
    """Metrics of a network on the evaluation splits of both domains."""

    def __init__(self, config: ConfigDict, model: DeepLabV2) -> None:
        """Opens both splits.

        Raises:
            UserError: a split or its files are not as they should be.
        """
        self.records: dict[str, Records] = {}
        self._sizes: dict[str, Any] = {}
        for domain in ("target", "source"):
            self.records[domain], self.label_set = load_split(
                config, f"{domain}_eval", evaluation=True
            )
            network = tuple(config[f"{domain}_size"])
            self._sizes[domain] = network if config.eval_size == "network" else None
        self._evaluate = Evaluator(
            make_predictor(config, model), self.label_set.names, config.eval_batch_size
        )

    def __call__(self, variables: Any) -> dict[str, Any]:
        """``{"target": M, "source": M}``."""
        return {
            domain: self._evaluate(variables, records, self._sizes[domain])
            for domain, records in self.records.items()
        }


@dataclasses.dataclass
class Stage:
    """One of the two stages of a run.

    Attributes:
        name: folder of its checkpoints.
        title: for the console.
        steps: its length.
        learning_rate: at its start.
        adapt: whether target images take part.
    """

    name: str
    title: str
    steps: int
    learning_rate: float
    adapt: bool


class Experiment:
    """One run: its data, network and folder."""

    def __init__(self, config: ConfigDict, workdir: Path) -> None:
        """Opens or prepares all data that the run needs.

        Raises:
            UserError: a split or its files are not as they should be.
        """
        self.config, self.workdir = config, workdir
        self.variant = configuration.VARIANTS[config.variant]
        self.model = build_model(config)
        self.initial = None
        if self.variant.adapt and config.init_from:
            self.initial = load_variables(config.init_from, self.model)
        source_role = "target_train" if self.variant.oracle else "source_train"
        self.source, _ = load_split(config, source_role, evaluation=False)
        _expect_labels(self.source, config[source_role])
        self.target = None
        if self.variant.adapt:
            self.target, _ = load_split(config, "target_train", evaluation=False)
        self.evaluate = DomainEvaluation(config, self.model)
        self.samples = Samples(
            make_predictor(config, self.model),
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
            config.source_learning_rate,
            adapt=False,
        )
        adapt = Stage(
            runs.ADAPT_STAGE, config.variant, config.steps, config.learning_rate, adapt=True
        )
        baseline = None
        if not self.variant.adapt:
            final, best = self._train(source, initial_variables(self.model, config.seed))
        else:
            variables = self.initial
            if variables is None:
                self._train(source, initial_variables(self.model, config.seed))
                variables = load_variables(f"{self.workdir}:{runs.SOURCE_STAGE}", self.model)
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
        runs.write_json(self.workdir / runs.RESULTS, results)
        return results

    def _baseline(self, variables: Any) -> dict[str, Any]:
        """The evaluation before the first step of the adaptation, kept in the workdir."""
        path = self.workdir / runs.BASELINE
        if not path.exists():
            runs.write_json(path, self.evaluate(variables))
        return runs.read_json(path)

    def _train(self, stage: Stage, variables: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Runs a stage to its end; returns the metrics of its last and its best evaluation."""
        config, checkpoints = self.config, Checkpoints(self.workdir / stage.name)
        objective = configuration.objective(config, adapt=stage.adapt)
        model = self.model
        if stage.adapt and config.frozen_norms:
            model = model.clone(frozen_norms=True)
        rules = segmentation.parameter_rules(model, multi=objective.multi)
        optimizer = sgd(
            parameter_groups(variables["params"], rules),
            {"backbone": 1.0, "head": config.head_rate_multiplier},
            poly_schedule(stage.learning_rate, stage.steps),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        step = parallel_train_step(
            segmentation.passes(model, objective, config.input_convention, adapt=stage.adapt),
            optimizer,
        )
        state = TrainState.create(variables, optimizer)
        batches = Prefetch(
            training_batches(
                self.source,
                self.target if stage.adapt else None,
                batch_size=config.batch_size * jax.local_device_count(),
                seed=config.seed,
                source_augmentation=_augmentation(config.source_augmentation),
                target_augmentation=_augmentation(config.target_augmentation),
            )
        )
        if checkpoints.latest is not None:
            state, input_state = checkpoints.restore(checkpoints.latest, state)
            batches.set_state(input_state)
        start = int(state.step)
        with StageLog(stage.title, self.workdir / "logs" / stage.name, start, stage.steps) as log:
            if 0 < start < stage.steps:
                log.say(f"{stage.title}: continuing after step {start}")

            def evaluate(state: TrainState) -> None:
                made, metrics = int(state.step), self.evaluate(state.variables)
                checkpoints.save(state, batches.get_state(), metrics)
                log.scalars(made, {f"miou/{d}": m["miou"] for d, m in metrics.items()})
                for name, picture in self.samples(state.variables).items():
                    log.picture(made, name, picture)
                figures = "  ".join(f"{d} mIoU {100 * m['miou']:.1f}" for d, m in metrics.items())
                log.say(f"{stage.title} {made}/{stage.steps}  {figures}")
                log.resume_clock(made)

            state = fit(
                replicate(state),
                step,
                batches,
                steps=stage.steps,
                log_every=config.log_every,
                eval_every=config.eval_every,
                on_step=log.advance,
                on_log=log.log,
                on_evaluate=evaluate,
            )
        batches.close()
        last = checkpoints.latest
        assert last is not None
        metrics = checkpoints.metrics(last)
        best = checkpoints.best()
        assert best is not None
        self.samples.save(state.variables, self.workdir / "pictures", stage.name)
        checkpoints.close()
        return {**metrics, "step": last}, {"target": best[1]["target"], "step": best[0]}
