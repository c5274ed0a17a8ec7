"""The rounds of a self-training run, and their labels, which lie in the workdir to be looked at.

    WORKDIR/labels/round_00/labels/KEY.png    train ids in the colours of the classes, 255 = ignored
                            soft/KEY.png      of soft labels: first and second class, and the share
                                              of the second one (`class_balanced.packed`)
                            round.json        portion, thresholds, classes, images with checksums
            spatial_prior.npz                 of CBST-SP, where the run was given none

A round's folder gets its name when it is complete. A run that was killed meanwhile makes the labels
again, of the same network: a round begins where a checkpoint is.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections.config_dict import ConfigDict
from PIL import Image

from msl_jax.data import spatial_prior
from msl_jax.data.labelled_records import Chosen, LabelledRecords, Mining
from msl_jax.data.labels import LabelSet
from msl_jax.data.prepared.records import Records
from msl_jax.experiment.labeller import Labeller
from msl_jax.experiment.log import StageLog
from msl_jax.methods.class_balanced import rare_classes, thresholds
from msl_jax.methods.labelling import Labelling
from msl_jax.runs import arrays, round_files
from msl_jax.runs.resume import ResumePoint
from msl_jax.runs.round_files import LABELS, ROUND, SOFT
from msl_jax.runtime import parallel, stopping
from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.runtime.files import atomic_write, read_json, write_json
from msl_jax.runtime.progress import Bar
from msl_jax.training.optimizer import without_momentum
from msl_jax.training.state import TrainState
from msl_jax.training.step import replicate

PRIOR = "spatial_prior.npz"


class Rounds:
    """The labels of a run's rounds: made, or taken up again."""

    def __init__(
        self,
        config: ConfigDict,
        model: Any,
        labelling: Labelling,
        source: Records,
        target: Records,
        label_set: LabelSet,
        workdir: Path,
    ) -> None:
        """Makes nothing yet.

        Args:
            config: complete and checked.
            model: the network.
            labelling: settings.
            source: records of the labelled images.
            target: records of the images to label.
            label_set: the classes.
            workdir: of the run.

        Raises:
            UserError: the prior cannot be read, or is of other classes or another size.
        """
        self._config, self._labelling, self._folder = config, labelling, workdir / LABELS
        self._source, self._target = source, target
        self._names, self._palette = label_set.names, label_set.palette
        self.ends, self._size = labelling.ends(config.steps), tuple(config.target_size)
        self._labeller = Labeller(model, labelling, self._size, config.eval_batch_size)
        if labelling.spatial_prior:
            self._labeller.prior = self._load(Path(labelling.spatial_prior))

    def begin(
        self, number: int, point: ResumePoint, log: StageLog
    ) -> tuple[LabelledRecords, ResumePoint]:
        """The target images with the labels of a round; all processes, the first one makes them.

        Args:
            number: of the round, from 0.
            point: of the training, at the beginning of the round or within it.
            log: where it is said.

        Returns:
            The images, and the point; with SGD a round begins without momentum.

        Raises:
            UserError: no pixel gets a label, or files are missing, damaged or cannot be written.
            Stopped: a signal asked for it; nothing of unfinished labels is left.
        """
        made, folder = int(point.state.step), self._at(number)
        begins = made == (self.ends[number - 1] if number else 0)
        # Several processes wait for each other: none of them may leave.
        alone = parallel.share()[1] == 1
        with stopping.at_once() if alone else stopping.delayed():
            parallel.by_first(lambda: self._ensure(number, point.state, begins=begins))
            target = parallel.together(lambda: self._open(folder))
        log.say(self._said(number))
        log.resume_clock(made)
        if begins and number and self._config.optimizer == "sgd":
            new = without_momentum(point.state.opt_state)
            state = dataclasses.replace(point.state, opt_state=new)
            point = point._replace(state=replicate(state))
        return target, point

    @property
    def data(self) -> dict[str, dict[str, str]]:
        """What the labels depend on besides images and labels, as `Experiment.data`."""
        prior, file = self._labeller.prior, self._labelling.spatial_prior
        if not file or prior is None:
            return {}
        return {"spatial_prior": {"split": file, "content": arrays.digest(prior)}}

    def _load(self, path: Path) -> np.ndarray:
        return spatial_prior.load(path, self._names, self._size).values

    def _count_prior(self) -> None:
        """Counts the prior of a run that was given none; it is kept beside the labels."""
        path = self._folder / PRIOR
        if not path.exists():
            origin, sigma = self._config.source_train, spatial_prior.default_sigma(self._size[1])
            found = spatial_prior.of_records(self._source, self._names, origin, self._size, sigma)
            spatial_prior.save(path, found)
        self._labeller.prior = self._load(path)

    def _at(self, number: int) -> Path:
        return self._folder / f"round_{number:02}"

    def _said(self, number: int) -> str:
        found = read_json(self._at(number) / ROUND)
        classes = found["classes"]
        labelled = sum(of_class["labelled"] for of_class in classes.values()) / found["pixels"]
        absent = [name for name, of_class in classes.items() if not of_class["labelled"]]
        return (
            f"round {number + 1} of {len(self.ends)}: {labelled:.1%} of the pixels of"
            f" {len(found['images']):,} images are labelled"
            + (f"; in no label: {', '.join(absent)}" if absent else "")
        )

    def _open(self, folder: Path) -> LabelledRecords:
        """The labels that are there."""
        if not folder.is_dir():
            raise UserError(
                f"{folder}: not found; all processes of a run that trains on labels of its own need"
                " the workdir on a file system that they share"
            )
        found = read_json(folder / ROUND)
        kind = LABELS if self._labelling.alpha is None else SOFT
        return LabelledRecords(
            self._target,
            [image["record"] for image in found["images"]],
            [folder / kind / f"{image['key']}.png" for image in found["images"]],
            Mining(
                tuple(self._names.index(name) for name in found["rare"]),
                self._labelling.mining_chance,
            ),
        )

    def _ensure(self, number: int, state: TrainState, *, begins: bool) -> None:
        """Makes the labels, unless they are there and those of this network."""
        folder = self._at(number)
        if not begins:
            try:
                round_files.check(folder)
            except DamagedError as error:
                raise UserError(
                    f"{error}. Put it back as it was, or train again in another --workdir: the"
                    " network that made these labels is no longer there"
                ) from error
            return
        variables = state.variables
        network = arrays.digest(variables)
        if folder.exists():
            try:
                if round_files.check(folder) == network:
                    return
                reason = f"{folder}: labels of another network"
            except DamagedError as error:
                reason = str(error)
            print(f"{reason}; kept as {round_files.set_aside(folder).name}", file=sys.stderr)
        try:
            self._make(number, variables, {"step": int(state.step), "network": network})
        except OSError as error:
            raise UserError(
                f"{folder}: the labels cannot be written ({error.strerror or error}); once they can"
                " be, the same command continues with them"
            ) from error

    def _make(self, number: int, variables: Any, made_of: dict[str, Any]) -> None:
        labelling, folder = self._labelling, self._at(number)
        self._folder.mkdir(exist_ok=True)  # not its parents: a lost workdir stays lost
        if labelling.spatial_prior == "" and self._labeller.prior is None:
            self._count_prior()
        chosen = self._choose(number, variables)
        records, portion = Chosen(self._target, chosen), labelling.portion_of(number)
        with Bar(f"labelling, round {number + 1}", 2 * len(chosen)) as bar:
            found = self._labeller.confidences(variables, records, bar.step)
            limits = thresholds(found.confidences, portion, self._labeller.prior)
            counts, images = np.zeros(256, np.int64), []
            with atomic_write(folder) as partial:
                maps = self._labeller.labels(variables, records, limits)
                for place, (label, *soft) in zip(chosen, maps, strict=True):
                    key = self._target[place]["key"]
                    files = [self._write(partial / LABELS / f"{key}.png", label)]
                    files += [self._write(partial / SOFT / f"{key}.png", s) for s in soft]
                    images.append(
                        {"record": place, "key": key, "sha256": round_files.digest(files)}
                    )
                    counts += np.bincount(label.ravel(), minlength=256)
                    bar.step()
                classes = {
                    name: {
                        "predicted": int(found.pixels[index]),
                        "threshold": float(limits[index]),
                        "labelled": int(counts[index]),
                    }
                    for index, name in enumerate(self._names)
                }
                if not counts[: len(self._names)].any():
                    raise UserError(self._collapsed(number, portion, found.pixels))
                rare = rare_classes(found.pixels, labelling.mining_share)
                write_json(
                    partial / ROUND,
                    {
                        **{"round": number, **made_of, "portion": portion},
                        "pixels": int(counts.sum()),
                        "classes": classes,
                        "rare": [self._names[index] for index in rare],
                        "images": images,
                    },
                )

    def _choose(self, number: int, variables: Any) -> list[int]:
        """Numbers of the records that a round labels: the first round decides."""
        everything, share = range(len(self._target)), self._labelling.image_share
        if share == 1:
            return [*everything]
        if number > 0:
            first = read_json(self._at(0) / ROUND)
            return [image["record"] for image in first["images"]]
        with Bar("choosing images", len(everything)) as bar:
            records = Chosen(self._target, everything)
            return [*self._labeller.most_sure(variables, records, share, bar.step)]

    def _write(self, path: Path, array: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(array)
        if array.ndim == 2:
            image.putpalette(self._palette.tobytes())
        image.save(path, "PNG")
        return path

    def _collapsed(self, number: int, portion: float, pixels: np.ndarray) -> str:
        shares = sorted(zip(pixels / max(pixels.sum(), 1), self._names, strict=True), reverse=True)
        seen = ", ".join(f"{name} {share:.2%}" for share, name in shares if share)
        kept = f", with the labels of round {number}," if number else ""
        return (
            f"round {number + 1} of {len(self.ends)} labels no pixel: expected {portion:.1%} of"
            f" each class that is predicted, found of {pixels.sum():,} pixels {seen}. What was"
            f" trained before{kept} stays in {self._folder.parent}. Train again in another"
            " --workdir with a greater config.method.portion (and portion_limit), a smaller"
            " config.method.threshold_every, or a lower config.learning_rate."
        )
