"""Classification as a configuration describes it: a `msl_jax.tasks.task.Task`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections.config_dict import ConfigDict

from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.prepared.records import Records
from msl_jax.evaluation.classification import Classifier, Evaluator, classify
from msl_jax.evaluation.pictures import contact_sheet
from msl_jax.models.spec import NetworkSpec
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.photo_classes import PREDICTIONS, PhotoClasses
from msl_jax.tasks.photos import PhotoOptions
from msl_jax.tasks.task import Draw, Measure, Predict, Probabilities


class Classification:
    """A network with one label an image."""

    pictured = 32

    def model(self, config: ConfigDict) -> Any:
        """See `Task`."""
        return NetworkSpec.from_config(config).build(dtype=jnp.dtype(config.compute_dtype))

    def measure(self, config: ConfigDict, model: Any, names: tuple[str, ...]) -> Measure:
        """See `Task`: accuracy."""
        del names
        evaluate = Evaluator(build_classifier(config, model), config.eval_batch_size)

        def measured(variables: Any, records: Records, domain: str) -> dict[str, Any]:
            del domain
            return evaluate(variables, records)

        return measured

    def probabilities(self, config: ConfigDict, model: Any) -> Probabilities:
        """See `Task`."""
        return build_classifier(config, model)

    def prediction(self, config: ConfigDict, model: Any) -> Predict:
        """See `Task`."""
        classifier = build_classifier(config, model)

        def predicted(variables: Any, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            classes, confidence = classify(classifier, variables, images)
            return np.asarray(classes), np.asarray(confidence)

        return predicted

    def draw(self, config: ConfigDict, model: Any, label_set: LabelSet) -> Draw:
        """See `Task`: images with prediction and confidence, in red where it is wrong."""
        prediction, names = self.prediction(config, model), label_set.names

        def drawn(variables: Any, rows: list[dict[str, Any]]) -> np.ndarray:
            images = np.stack([record["image"] for record in rows])
            found, confidence = prediction(variables, images)
            labels = np.array([record["label"] for record in rows])
            captions = [
                f"{names[index]} {100 * share:.0f}%"
                for index, share in zip(found, confidence, strict=True)
            ]
            wrong = (labels != IGNORE) & (labels != found)
            return contact_sheet(list(images), captions, wrong.tolist())

        return drawn

    def photo_results(
        self,
        config: ConfigDict,
        model: Any,
        label_set: LabelSet,
        options: PhotoOptions,
        output: Path,
    ) -> PhotoClasses:
        """See `Task`: one table of all photos."""
        if options != PhotoOptions():
            raise UserError(
                "--write, --label_ids, --opacity and --window are for segmentation; a"
                f" classification writes {PREDICTIONS}"
            )
        return PhotoClasses(build_classifier(config, model), label_set.names, output)


def build_classifier(config: ConfigDict, model: Any) -> Classifier:
    """Prediction as the configuration's evaluation keys ask for."""
    crop = tuple(config.source_augmentation.crop) or None
    return Classifier(model, crop, config.flip)
