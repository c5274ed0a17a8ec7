"""Semantic segmentation as a configuration describes it: a `msl_jax.tasks.task.Task`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections.config_dict import ConfigDict
from PIL import Image

from msl_jax.data.images import resize_image, resize_label
from msl_jax.data.labels import LabelSet
from msl_jax.data.prepared.records import Records
from msl_jax.evaluation import pictures
from msl_jax.evaluation.segmentation import Evaluator, Predictor, predict
from msl_jax.methods import segmentation
from msl_jax.methods.variants import variant_of
from msl_jax.models import DeepLabV2
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import written_whole
from msl_jax.tasks.task import Draw, Measure, Predict, Training
from msl_jax.training.optimizer import parameter_groups, sgd, stage_schedule
from msl_jax.weights.find import network_of


def objective(config: ConfigDict, *, adapt: bool = True) -> segmentation.Objective:
    """The objective that a checked configuration asks for.

    Args:
        config: complete and checked.
        adapt: of the adaptation; else of the source-only stage, where the target has no loss.
    """
    variant = variant_of(config)
    return segmentation.Objective(
        target_loss=variant.target_loss if adapt else "none",  # type: ignore[arg-type]
        multi=variant.multi,
        lambda_target=config.lambda_target,
        lambda_source_low=config.lambda_source_low,
        lambda_low=config.lambda_low,
        iw_alpha=config.iw_alpha if variant.weighted else None,
        guidance_threshold=config.guidance_threshold,
        normalization=config.normalization,
        guidance_rule=config.guidance_rule,
    )


class Segmentation:
    """DeepLabv2 with its two heads, and maps of labels."""

    pictured = 4

    def model(self, config: ConfigDict) -> DeepLabV2:
        """See `Task`."""
        return network_of(config).model(
            dtype=jnp.dtype(config.compute_dtype), rematerialize=config.rematerialize
        )

    def stage_variables(self, config: ConfigDict, variables: Any, *, adapt: bool) -> Any:
        """See `Task`; nothing is trained beside the network."""
        del config, adapt
        return variables

    def training(
        self, config: ConfigDict, model: DeepLabV2, params: Any, *, adapt: bool
    ) -> Training:
        """See `Task`."""
        goal = objective(config, adapt=adapt)
        if adapt and config.frozen_norms:
            model = model.clone(frozen_norms=True)
        optimizer = sgd(
            parameter_groups(params, segmentation.parameter_rules(model, multi=goal.multi)),
            segmentation.optimizer_groups(
                config.head_rate_multiplier, repeated_visits=config.repeated_visits
            ),
            stage_schedule(config, adapt=adapt),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        return Training(
            segmentation.passes(model, goal, config.input_convention, adapt=adapt), optimizer
        )

    def measure(self, config: ConfigDict, model: DeepLabV2, names: tuple[str, ...]) -> Measure:
        """See `Task`: IoU at the size that the configuration asks for."""
        evaluate = Evaluator(build_predictor(config, model), names, config.eval_batch_size)

        def measured(variables: Any, records: Records, domain: str) -> dict[str, Any]:
            return evaluate(variables, records, label_size(config, domain))

        return measured

    def prediction(self, config: ConfigDict, model: DeepLabV2) -> Predict:
        """See `Task`."""
        predictor = build_predictor(config, model)
        return lambda variables, images: predict(predictor, variables, images, images.shape[1:3])

    def draw(self, config: ConfigDict, model: DeepLabV2, label_set: LabelSet) -> Draw:
        """See `Task`: rows of image, label, prediction and confidence (grey)."""
        prediction, palette = self.prediction(config, model), label_set.palette

        def drawn(variables: Any, rows: list[dict[str, Any]]) -> np.ndarray:
            images = np.stack([record["image"] for record in rows])
            size = images.shape[1:3]
            labels, confidence = prediction(variables, images)
            return pictures.column(
                [
                    pictures.row(
                        [
                            record["image"],
                            pictures.colorize(resize_label(record["label"], size), palette),
                            pictures.colorize(labels[i], palette),
                            pictures.confidence_map(confidence[i]),
                        ]
                    )
                    for i, record in enumerate(rows)
                ]
            )

        return drawn

    def photo_results(
        self,
        config: ConfigDict,
        model: DeepLabV2,
        label_set: LabelSet,
        photos: Mapping[Path, Path],
        output: Path,
    ) -> PhotoMaps:
        """See `Task`: label maps, colours and overlays."""
        targets = {name: _targets(output, name) for name in photos}
        _refuse_overwriting(photos, targets)
        size = tuple(config.target_size)
        return PhotoMaps(build_predictor(config, model), label_set.palette, size, targets, output)


class PhotoMaps:
    """``labels/``, ``colors/`` and ``overlays/`` of photos, each written whole or not at all."""

    def __init__(
        self,
        predictor: Predictor,
        palette: np.ndarray,
        size: tuple[int, int],
        targets: Mapping[Path, tuple[Path, ...]],
        output: Path,
    ) -> None:
        """Writes nothing yet.

        Args:
            predictor: gives the probabilities.
            palette: colours of the train ids, uint8 `[256, 3]`.
            size: (height, width) at which photos enter the network.
            targets: the three files of each photo.
            output: the folder they lie in.
        """
        self._predictor, self._palette, self._size = predictor, palette, size
        self._targets, self._output = targets, output

    def add(self, photo: Path, image: np.ndarray, variables: Any) -> None:
        """See `PhotoResults`."""
        small = resize_image(image, self._size)
        labels, _ = predict(self._predictor, variables, small[None], image.shape[:2])
        colors = pictures.colorize(labels[0], self._palette)
        results = (labels[0], colors, pictures.overlay(image, colors))
        for file, result in zip(self._targets[photo], results, strict=True):
            with written_whole(file) as partial:
                Image.fromarray(result).save(partial, "PNG")

    def close(self) -> tuple[list[Path], str]:
        """See `PhotoResults`; the main files are the label maps."""
        files = [labels for labels, *_ in self._targets.values()]
        return files, f"label maps, colours and overlays are in {self._output}"


def build_predictor(config: ConfigDict, model: DeepLabV2) -> Predictor:
    """Prediction as the configuration's evaluation keys ask for."""
    return Predictor(model, config.input_convention, config.flip, tuple(config.scales))


def label_size(config: ConfigDict, domain: str) -> tuple[int, int] | None:
    """(height, width) at which a domain is evaluated; None for each label's own."""
    return tuple(config[f"{domain}_size"]) if config.eval_size == "network" else None


def _targets(output: Path, name: Path) -> tuple[Path, ...]:
    """Files of one photo; the old suffix stays in the name, so that a.jpg and a.png both fit."""
    file = name.with_name(f"{name.stem}_{name.suffix[1:].lower()}.png")
    if name.suffix.lower() == ".png":
        file = name.with_suffix(".png")
    return tuple(output / kind / file for kind in ("labels", "colors", "overlays"))


def _refuse_overwriting(
    photos: Mapping[Path, Path], targets: Mapping[Path, tuple[Path, ...]]
) -> None:
    existing = [file for files in targets.values() for file in files if os.path.lexists(file)]
    if existing:
        raise UserError(
            f"--output: {existing[0]} and {len(existing) - 1} more files exist already; give"
            " another folder or remove them, nothing is overwritten"
        )
    first: dict[Path, Path] = {}
    for name, photo in photos.items():
        label = targets[name][0]
        if label in first:
            raise UserError(
                f"--input: {first[label]} and {photo} would both be written to {label}; rename one"
            )
        first[label] = photo
