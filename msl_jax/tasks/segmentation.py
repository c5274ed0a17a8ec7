"""Semantic segmentation as a configuration describes it: a `msl_jax.tasks.task.Task`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections.config_dict import ConfigDict

from msl_jax.data.datasets.registry import dataset_class
from msl_jax.data.images import resize_label
from msl_jax.data.labels import LabelSet
from msl_jax.data.prepared.records import Records
from msl_jax.evaluation import pictures
from msl_jax.evaluation.segmentation import Evaluator, Predictor, mean_probabilities, predict
from msl_jax.models import DeepLabV2
from msl_jax.models.spec import NetworkSpec
from msl_jax.tasks.photo_maps import PhotoMaps
from msl_jax.tasks.photos import PhotoOptions
from msl_jax.tasks.task import Draw, Measure, Predict, Probabilities


class Segmentation:
    """DeepLabv2 with its two heads, and maps of labels."""

    pictured = 4

    def model(self, config: ConfigDict) -> DeepLabV2:
        """See `Task`."""
        return NetworkSpec.from_config(config).build(
            dtype=jnp.dtype(config.compute_dtype), rematerialize=config.rematerialize
        )

    def measure(self, config: ConfigDict, model: DeepLabV2, names: tuple[str, ...]) -> Measure:
        """See `Task`: IoU at the size that the configuration asks for."""
        predictor, evaluated = build_predictor(config, model), evaluated_classes(config)
        evaluate = Evaluator(predictor, names, config.eval_batch_size, evaluated)

        def measured(variables: Any, records: Records, domain: str) -> dict[str, Any]:
            return evaluate(variables, records, label_size(config, domain))

        return measured

    def probabilities(self, config: ConfigDict, model: DeepLabV2) -> Probabilities:
        """See `Task`."""
        predictor = build_predictor(config, model)

        def computed(variables: Any, images: Array) -> Array:
            _, height, width, _ = images.shape
            return mean_probabilities(predictor.logits(variables, images), (height, width))

        return computed

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
        options: PhotoOptions,
        output: Path,
    ) -> PhotoMaps:
        """See `Task`: label maps, colours and overlays."""
        predictor = build_predictor(config, model)
        return PhotoMaps(predictor, label_set, options, config.eval_batch_size, output)


def build_predictor(config: ConfigDict, model: DeepLabV2) -> Predictor:
    """Prediction as the configuration's evaluation keys ask for."""
    return Predictor(model, config.flip, tuple(config.scales))


def evaluated_classes(config: ConfigDict) -> tuple[str, ...] | None:
    """Names of the classes that count, whatever the network's outputs; None for all."""
    label_set = dataset_class(config.source_train).evaluated
    return label_set and label_set.names


def label_size(config: ConfigDict, domain: str) -> tuple[int, int] | None:
    """(height, width) at which a domain is evaluated; None for each label's own."""
    return tuple(config[f"{domain}_size"]) if config.eval_size == "network" else None
