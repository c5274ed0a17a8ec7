"""Runs compared without labels of the target.

    python -m msl_jax.analysis.unlabelled RUN [RUN ...]

If the target has no labels, or they are reserved for the final evaluation, this is what can be seen
of an adaptation, on training images of the target and labels of the source (200 evenly spaced ones
of each, or all if there are fewer); in classification, images take the place of pixels:

    confidence   mean probability of the predicted class on target images, in percent. A target loss
                 that has an effect raises it.
    shift        Jensen-Shannon divergence (bits, 0 to 1) between the classes predicted on target
                 images and those labelled on source images. It grows when classes vanish.
    source       mIoU on the source's evaluation split (classification: accuracy), in percent. It
                 falls when the network forgets.

A target loss that is too weak leaves all three as they are; one that is too strong keeps raising
the confidence while shift grows and source falls. RUN is a path as eval.py's --checkpoint takes it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from msl_jax.runtime.command_line import guard, program
from msl_jax.runtime.errors import UserError

# Of each domain, evenly spaced: they have enough pixels.
_IMAGES = 200


class Signs(NamedTuple):
    """What can be seen of a network; see the module.

    Attributes:
        confidence: in [0, 1].
        shift: in bits.
        source: mIoU or accuracy in [0, 1], None if it is not known.
        predicted: share of the target's pixels of each class, `[C]`.
        labelled: share of the source's labelled pixels of each class, `[C]`.
    """

    confidence: float
    shift: float
    source: float | None
    predicted: np.ndarray
    labelled: np.ndarray


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> float:
    """Divergence of two distributions `[C]` in bits: 0 if they are equal, 1 if disjoint.

    >>> jensen_shannon([0.5, 0.5], [0.5, 0.5]), jensen_shannon([1, 0], [0, 1])
    (0.0, 1.0)
    """
    pair = np.asarray([p, q], np.float64)
    mean = pair.mean(axis=0)
    ratio = np.divide(pair, mean, out=np.ones_like(pair), where=pair > 0)
    return float((pair * np.log2(ratio)).sum() / 2)


def signs(path: str) -> Signs:
    """Measures a network of a run.

    Args:
        path: a run, or a checkpoint of one.

    Raises:
        UserError: it does not exist.
    """
    from msl_jax.config import base_config
    from msl_jax.data.splits import load_split, load_unlabelled
    from msl_jax.runs.checkpoints import Checkpoints
    from msl_jax.runs.metrics import main_metric
    from msl_jax.tasks.registry import build_model, task_of
    from msl_jax.weights.trained import open_trained

    weights, config = open_trained(path, base_config(""), {})
    if weights.run is None:
        raise UserError(f"{path} ({weights.title}): expected a run")
    model = build_model(config)
    variables, prediction = weights.load(model), task_of(config).prediction(config, model)
    predicted = np.zeros(config.num_classes, np.int64)
    labelled = np.zeros_like(predicted)
    confidences = []
    split = load_unlabelled(config, "target_train", weights.known)
    for record in split.records.spread(_IMAGES):
        classes, confidence = prediction(variables, record["image"][None])
        predicted += np.bincount(classes.ravel(), minlength=config.num_classes)
        confidences.append(float(confidence.mean()))
    split = load_split(config, "source_train", evaluation=False, known=weights.known)
    for record in split.records.spread(_IMAGES):
        labels = np.asarray(record["label"])
        known = labels[labels < config.num_classes]
        labelled += np.bincount(known, minlength=config.num_classes)
    shares = [counts / max(counts.sum(), 1) for counts in (predicted, labelled)]
    found = Checkpoints(weights.run.folder).metrics(weights.run.step).get("source")
    source = main_metric(found).value if found else None
    return Signs(float(np.mean(confidences)), jensen_shannon(*shares), source, *shares)


def compared(paths: Sequence[str]) -> dict[str, Signs]:
    """The signs of several networks, by path.

    Raises:
        UserError: one does not exist, or they tell other classes apart; nothing is measured.
    """
    from msl_jax.weights.find import find

    first, *others = map(find, paths)
    for other in others:
        first.expect_same_classes(other)
    return {path: signs(path) for path in paths}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog=program("python -m msl_jax.analysis.unlabelled"),
        description="Compares runs without labels of the target: confidence (%) and shift of the"
        " classes (bits) on its training images, mIoU or accuracy (%) on the source.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="WORKDIR[:best|:STEP|:source]")
    found = compared(parser.parse_args(arguments).runs)
    width = max(map(len, found))
    print(f"{'run':{width}}  confidence, %  shift, bits  source, %")
    for path, sign in found.items():
        source = "-" if sign.source is None else f"{100 * sign.source:.1f}"
        print(f"{path:{width}}  {100 * sign.confidence:13.1f}  {sign.shift:11.4f}  {source:>9}")
    print(
        "The shift is better lower and the source (mIoU or accuracy) higher; more confidence is"
        " better\nonly while neither becomes worse than source-only."
    )


def command() -> None:
    """Runs it as a command of its own: errors as one message."""
    guard(main, "nothing has been changed")


if __name__ == "__main__":
    command()
    sys.exit()
