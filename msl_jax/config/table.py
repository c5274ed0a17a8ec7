"""Every common key of a configuration: default, valid values, meaning.

The keys of the network are with the modules that have them (`msl_jax.models`), those of a method
with it (`msl_jax.methods`); `msl-jax list keys` prints all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from msl_jax.data.limits import MAX_PIXELS
from msl_jax.methods.variants import DEFAULT_VARIANT, VARIANTS_OF
from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.models.keys import Key, choice, count, flag
from msl_jax.models.spec import NETWORKS

_MOST = 2**31 - 1  # steps are counted in 32 bits
_MOST_IMAGES = 65_536
_SIZE = f"(height, width), integers of at least 16, {MAX_PIXELS:,} pixels at most"


def _word(default: str | None, meaning: str, *choices: str) -> Key:
    return choice(choices, default=default, meaning=meaning)


def _registered(known: Callable[[str], bool], good: str, default: str, meaning: str) -> Key:
    """A name in a table to which one's own may be added."""
    return Key(str, good, known, default, meaning=meaning)


def _text(default: str, meaning: str) -> Key:
    return Key(str, "text", lambda value: isinstance(value, str), default, meaning=meaning)


def _switch(default: bool | None, meaning: str) -> Key:
    return flag(default=default, meaning=meaning)


def _from_zero(default: int | None, meaning: str) -> Key:
    return Key(int, "0 or more", lambda value: value >= 0, default, meaning=meaning)


def _poly_steps(meaning: str) -> Key:
    return Key(int, f"at most {_MOST}", lambda value: value <= _MOST, meaning=meaning)


def _rate(default: float, meaning: str) -> Key:
    return Key(
        *(float, "more than 0, and finite", lambda value: 0 < value < math.inf, default),
        meaning=meaning,
    )


def _weight(default: float | None, meaning: str) -> Key:
    return Key(
        *(float, "0 or more, and finite", lambda value: 0 <= value < math.inf, default),
        meaning=meaning,
    )


def _share(default: float, meaning: str) -> Key:
    return Key(float, "a number in [0, 1]", lambda value: 0 <= value <= 1, default, meaning=meaning)


def _size(default: tuple[int, int], meaning: str) -> Key:
    return Key(tuple, _SIZE, _is_size, default, meaning=meaning)


def are(kind: Any, values: Any, smallest: float) -> bool:
    """Whether all values are of a type and not below the smallest."""
    return all(isinstance(value, kind) and value >= smallest for value in values)


def _is_size(value: Any) -> bool:
    return len(value) == 2 and are(int, value, 16) and math.prod(value) <= MAX_PIXELS


def _is_range(value: Any) -> bool:
    return len(value) == 2 and are((int, float), value, 1e-3) and value[0] <= value[1]


# See `msl_jax.data.augment.Augmentation`. Scale (1, 1) and an empty crop leave the size alone.
AUGMENTATION: dict[str, Key] = {
    "mirror": _switch(True, "flip left and right, at random, half of the images"),
    "blur": _switch(True, "Gaussian blur of up to one pixel, at random, in half of the images"),
    "scale": Key(
        *(tuple, "(low, high) with 0 < low <= high", _is_range, (1.0, 1.0)),
        meaning="range of a random scale, followed by a random crop or padding",
    ),
    "crop": Key(
        *(tuple, f"{_SIZE}, or () for none", lambda v: len(v) == 0 or _is_size(v), ()),
        meaning="size of the result; the target loss includes the padding of a crop",
    ),
    "jitter": _share(0.0, "strength of random brightness, contrast, saturation and gamma"),
}


def _augmentation(domain: str) -> dict[str, Key]:
    return {f"{domain}_augmentation.{name}": key for name, key in AUGMENTATION.items()}


# By title, then by key as in `--config.KEY`; groups have a dot.
SECTIONS: dict[str, dict[str, Key]] = {
    "What is run": {
        "name": Key(
            *(str, "a name without slashes", lambda v: not {"/", "\\", "\0"} & set(v), ""),
            meaning="of the configuration; names the run's folder",
        ),
        "task": _word("segmentation", "what is predicted", *VARIANTS_OF),
        "variant": _registered(
            lambda name: any(name in variants for variants in VARIANTS_OF.values()),
            *("one of the task's: msl-jax list variants", DEFAULT_VARIANT),
            "what is optimised; given as --config NAME:VARIANT",
        ),
        "seed": _from_zero(0, "of everything random: weights, order, augmentation, method"),
        "preset": _word(
            "official",
            "decides keys that are left open: as the official code, or as the paper's text",
            *("official", "paper"),
        ),
        "registered_by": Key(
            *(tuple, "names of files", lambda value: all(isinstance(v, str) for v in value), ()),
            meaning="own files that the run needs; the run fills it in",
        ),
        "shrink": _switch(False, "a small trial run: small images and network, 20 steps a stage"),
    },
    "Data": {
        "source_train": _text("", "DATASET/SPLIT of the labelled training images"),
        "target_train": _text("", "DATASET/SPLIT of the unlabelled training images"),
        "source_eval": _text("", "DATASET/SPLIT of the source that is evaluated"),
        "target_eval": _text("", "DATASET/SPLIT of the target that is evaluated"),
        "data_root": _text("", "folder of the files of both domains; never written to"),
        "source_root": _text("", "instead of data_root, where the source has its own"),
        "target_root": _text("", "instead of data_root, where the target has its own"),
        "source_label_ids": _word(
            "original", "label files are as published, or copies in train ids", "original", "train"
        ),
        "target_label_ids": _word("original", "likewise, of the target", "original", "train"),
        "classes_file": _text(
            "", "lists the classes of `folders`; empty: the domain's classes.yaml, or the source's"
        ),
        "records_dir": _text("", "of prepared records; empty: TFDS_DATA_DIR or TFDS's own"),
        "source_size": _size((720, 1280), "of the source's images"),
        "target_size": _size(
            (512, 1024), "of the target's images, and of photos that are predicted"
        ),
        "num_classes": Key(
            *(int, "at most 254: 255 marks ignored pixels", lambda value: value < 255, 19),
            meaning="classes that the network tells apart",
        ),
        "on_bad_example": _word(
            "error", "what a damaged file does: skip leaves it out and names it", "error", "skip"
        ),
    },
    "Augmentation of labelled images": _augmentation("source"),
    "Augmentation of unlabelled images": _augmentation("target"),
    "Network": {
        "model.network": _registered(
            NETWORKS.__contains__,
            *("deeplab, or in a classification classifier or small_resnet", "deeplab"),
            "backbone and heads, or all of a small classifier",
        ),
        "model.backbone": _registered(
            BACKBONES.__contains__,
            *("one of msl-jax list backbones", "resnet"),
            "the feature extractor below the heads of deeplab and classifier",
        ),
        "input_convention": Key(
            *(str, "one that the backbone has: caffe, torchvision, efficientnet_lite"),
            lambda value: isinstance(value, str),
            meaning="order, mean and scale of the channels that enter",
        ),
        "compute_dtype": _word(
            "float32",
            "of the network's arithmetic; parameters and statistics stay in float32",
            *("float32", "bfloat16"),
        ),
        "rematerialize": _switch(
            False, "saves memory: the gradient computes blocks of the network again"
        ),
        "init_from": _text(
            "",
            "weights to start from: a run's workdir, a converted checkpoint, a .pth or .safetensors"
            " file, efficientnet_lite0. Without a trained final head (ImageNet weights) and if"
            " empty, the run first trains the source-only stage",
        ),
        "reinit_heads": _switch(False, "take over the backbone alone and train new heads"),
    },
    "Training": {
        "batch_size": count(1, most=_MOST_IMAGES, meaning="images of each domain on each device"),
        "accumulate": count(
            1, most=_MOST_IMAGES, meaning="micro-batches of that size in each step"
        ),
        "source_steps": _from_zero(
            None, "of the source-only stage; 0: the adaptation starts at once"
        ),
        "source_poly_steps": _poly_steps(
            "step at which the schedule reaches 0, at least source_steps"
        ),
        "source_learning_rate": _rate(2.5e-4, "at the first step of the source-only stage"),
        "steps": count(meaning="of the adaptation"),
        "poly_steps": _poly_steps("step at which the schedule reaches 0, at least steps"),
        "learning_rate": _rate(2.5e-4, "at the first step of the adaptation"),
        "schedule": _word(
            "poly",
            "of the learning rates; inverse is that of the classifications",
            *("poly", "linear", "inverse"),
        ),
        "head_rate_multiplier": _rate(10.0, "of the heads' learning rate"),
        "momentum": Key(
            *(float, "a number in [0, 1)", lambda value: 0 <= value < 1, 0.9), meaning="of SGD"
        ),
        "weight_decay": _weight(5e-4, "of all parameters with a gradient"),
        "optimizer": _word(
            "sgd", "of the network; adamw has no momentum and visits once", "sgd", "adamw"
        ),
        "warmup_steps": _from_zero(0, "of each stage, over which its learning rate rises"),
        "repeated_visits": _switch(
            None, "the optimizer updates parameters several times a step, as the official one does"
        ),
        "source_frozen_batch_norm": _switch(
            False, "keep the statistics of batch norm as they are in the source-only stage"
        ),
        "frozen_batch_norm": _switch(False, "likewise, in the adaptation"),
    },
    "Losses": {
        "lambda_target": _weight(
            None,
            "weight of the target loss (Eq. 1); if open 0.1, and 0.09 of the target losses with"
            " guidance under the preset official",
        ),
        "lambda_source_low": _weight(None, "weight of the low head on source labels"),
        "lambda_low": _weight(0.1, "weight of the low head on the guidance, times lambda_target"),
        "iw_alpha": _share(0.2, "alpha of the image-wise weights (Eq. 13), of the variants _iw"),
        "guidance_threshold": _share(0.95, "delta of Eq. 15, and of hard pseudo-labels"),
        "normalization": _word(
            None, "means over the classes too, or (paper) sums as printed", "official", "paper"
        ),
        "guidance_rule": _word(
            None,
            "where a head's largest probability passes, or (paper) that of the label",
            "official",
            "paper",
        ),
    },
    "Evaluation": {
        "eval_every": count(2_975, meaning="steps; each evaluation saves a checkpoint"),
        "eval_batch_size": count(1, most=_MOST_IMAGES, meaning="images on each device"),
        "eval_size": _word(
            "network", "of the predictions: the network's, or full: the labels'", "network", "full"
        ),
        "flip": _switch(False, "average with the mirrored image"),
        "scales": Key(
            *(tuple, "one or more numbers over 0"),
            *(lambda value: len(value) > 0 and are((int, float), value, 1e-3), (1.0,)),
            meaning="average over these sizes",
        ),
        "photo_size": _word(
            None,
            "of what a prediction reads: shorter, longer: that side is as in target_size, and"
            " proportions are kept; target: target_size; own: nothing is resized; if open target"
            " for classification and where the training stretches its images, else shorter",
            *("shorter", "longer", "target", "own"),
        ),
    },
    "Behaviour": {
        "log_every": count(20, meaning="steps"),
        "keep_every": _from_zero(
            0,
            "steps; keeps checkpoints at its multiples, besides the latest and the best, as long as"
            " it is given",
        ),
        "debug": _switch(False, "tracebacks, and a search for the first value that is not finite"),
    },
}

KEYS: dict[str, Key] = {name: key for keys in SECTIONS.values() for name, key in keys.items()}
