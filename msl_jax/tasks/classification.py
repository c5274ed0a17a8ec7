"""Classification as a configuration describes it: a `msl_jax.tasks.task.Task`."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections.config_dict import ConfigDict

from msl_jax.data.images import resize_image
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.prepared.records import Records
from msl_jax.evaluation.classification import Classifier, Evaluator, classify
from msl_jax.evaluation.sheet import contact_sheet
from msl_jax.methods import classification
from msl_jax.methods.variants import variant_of
from msl_jax.models.backbones.small_resnet import SmallResNet
from msl_jax.models.discriminator import DISCRIMINATOR, Discriminator
from msl_jax.models.initial import initial_params
from msl_jax.models.resnet_classifier import ResNetClassifier
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import written_whole
from msl_jax.tasks.task import Draw, Measure, Predict, Training
from msl_jax.training.optimizer import parameter_groups, sgd, stage_schedule

PREDICTIONS = "predictions.csv"

# Networks by the key `model.network`.
_NETWORKS = {"small_resnet": SmallResNet, "resnet": ResNetClassifier}


class Classification:
    """A network with one label an image."""

    pictured = 32

    def model(self, config: ConfigDict) -> Any:
        """See `Task`."""
        return _NETWORKS[config.model.network](
            config.num_classes,
            config.model.depth,
            config.model.width,
            dtype=jnp.dtype(config.compute_dtype),
        )

    def stage_variables(self, config: ConfigDict, variables: Any, *, adapt: bool) -> dict[str, Any]:
        """See `Task`: DANN's adaptation trains a discriminator as well."""
        if not (adapt and variant_of(config).target_loss == "dann"):
            return variables
        params = dict(variables["params"])
        features = params["classifier"]["kernel"].shape[0]
        module = Discriminator(config.model.discriminator_width)
        params[DISCRIMINATOR] = initial_params(module, (features,), config.seed)
        return {**variables, "params": params}

    def training(self, config: ConfigDict, model: Any, params: Any, *, adapt: bool) -> Training:
        """See `Task`."""
        goal = classification.Objective(
            target_loss=variant_of(config).target_loss if adapt else "none",  # type: ignore[arg-type]
            lambda_target=config.lambda_target,
            normalization=config.normalization,
            steps=config.steps,
            discriminator_width=config.model.discriminator_width,
        )
        optimizer = sgd(
            parameter_groups(params, classification.parameter_rules()),
            classification.optimizer_groups(config.head_rate_multiplier),
            stage_schedule(config, adapt=adapt),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        return Training(
            classification.passes(model, goal, config.input_convention, adapt=adapt), optimizer
        )

    def measure(self, config: ConfigDict, model: Any, names: tuple[str, ...]) -> Measure:
        """See `Task`: accuracy."""
        del names
        evaluate = Evaluator(build_classifier(config, model), config.eval_batch_size)

        def measured(variables: Any, records: Records, domain: str) -> dict[str, Any]:
            del domain
            return evaluate(variables, records)

        return measured

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
        photos: Mapping[Path, Path],
        output: Path,
    ) -> PhotoClasses:
        """See `Task`: one table of all photos."""
        del photos
        file = output / PREDICTIONS
        if os.path.lexists(file):
            raise UserError(
                f"--output: {file} exists already; give another folder or remove it, nothing is"
                " overwritten"
            )
        size = tuple(config.target_size)
        return PhotoClasses(build_classifier(config, model), label_set.names, size, file)


class PhotoClasses:
    """``predictions.csv``: file, class and probability of each photo; written at the end."""

    def __init__(
        self, classifier: Classifier, names: tuple[str, ...], size: tuple[int, int], file: Path
    ) -> None:
        """Writes nothing yet.

        Args:
            classifier: gives the probabilities.
            names: of the classes.
            size: (height, width) to which photos are resized first, without their proportions.
            file: to be written.
        """
        self._classifier, self._names, self._size, self._file = classifier, names, size, file
        self._rows: list[tuple[str, str, str]] = []

    def add(self, photo: Path, image: np.ndarray, variables: Any) -> None:
        """See `PhotoResults`."""
        small = resize_image(image, self._size)
        found, confidence = classify(self._classifier, variables, small[None])
        self._rows.append((str(photo), self._names[int(found[0])], f"{float(confidence[0]):.6f}"))

    def close(self) -> tuple[list[Path], str]:
        """See `PhotoResults`; the one file is the table."""
        with (
            written_whole(self._file) as partial,
            # File names need not be valid UTF-8.
            partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("file", "class", "probability"))
            writer.writerows(self._rows)
        return [self._file], f"their classes are in {self._file}"


def build_classifier(config: ConfigDict, model: Any) -> Classifier:
    """Prediction as the configuration's evaluation keys ask for."""
    crop = tuple(config.source_augmentation.crop) or None
    return Classifier(model, config.input_convention, crop, config.flip)
