"""The keys that every configuration has, the variants, and the check of their values.

A key left at None is decided by the weights of `init_from` or by the preset, see
`msl_jax.config.presets`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from ml_collections import config_dict

from msl_jax.data.decoding import MAX_PIXELS
from msl_jax.methods.variants import (
    DEFAULT_VARIANT,
    VARIANTS,
    VARIANTS_OF,
    expect_variant,
    variant_of,
)
from msl_jax.models.backbones.resnet import STAGE_SIZES
from msl_jax.models.backbones.small_resnet import SMALL_DEPTHS
from msl_jax.runtime.errors import UserError

# Keys that may differ between the start of a run and its continuation.
FREE_KEYS = ("debug", "keep_every")
# Of the adaptation alone: nothing in a run of `source` or `oracle` depends on them.
ADAPTATION_KEYS = (
    *("steps", "poly_steps", "learning_rate", "frozen_norms", "normalization"),
    *("lambda_target", "lambda_low", "iw_alpha", "guidance_threshold", "guidance_rule"),
)

# By the key `task`: its networks with their depths, and keys with one meaningful value.
DEPTHS_OF: dict[str, dict[str, tuple[int, ...]]] = {
    "segmentation": {"deeplab": tuple(STAGE_SIZES)},
    "classification": {"small_resnet": SMALL_DEPTHS, "resnet": tuple(STAGE_SIZES)},
}
FIXED_OF: dict[str, dict[str, Any]] = {
    "classification": {
        **{"eval_size": "network", "scales": (1.0,)},
        **{"frozen_norms": False, "rematerialize": False},
    },
}

_MOST = 2**31 - 1  # steps are counted in 32 bits
_SIZE = f"(height, width), integers of at least 16, {MAX_PIXELS:,} pixels at most"


def base_config(
    name: str, variant: str = DEFAULT_VARIANT, task: str = "segmentation"
) -> config_dict.ConfigDict:
    """Configuration `name` with every key at its default: the official recipe's figures.

    Args:
        name: of the file in configs/.
        variant: one of the task's, see `msl_jax.methods.variants`.
        task: one of `VARIANTS_OF`.

    Raises:
        UserError: unknown variant.
    """
    expect_variant(variant, task, name)
    placeholder = config_dict.placeholder  # None, until it is decided
    config = config_dict.ConfigDict(
        {
            "name": name,
            "task": task,
            "variant": variant,
            "seed": 0,
            "preset": "official",  # or "paper": decides keys left at None, see config/presets.py
            "shrink": False,  # the same run in minutes on a CPU, to try it: see config/presets.py
            # Data: DATASET/SPLIT of each role, and where the files lie.
            "source_train": "",
            "target_train": "",
            "source_eval": "",
            "target_eval": "",
            "data_root": "",
            "source_root": "",  # where each domain has a folder of its own
            "target_root": "",
            "classes_file": "",  # of folders; empty: classes.yaml in source_root
            "records_dir": "",  # empty: TFDS_DATA_DIR or ~/tensorflow_datasets
            "source_size": (720, 1280),  # height, width
            "target_size": (512, 1024),
            "num_classes": 19,
            "source_augmentation": augmentation(),  # of labelled images, the oracle's too
            "target_augmentation": augmentation(),  # padding of a crop counts in the target loss
            # Network. Conventions: "caffe" or "torchvision"; None: what the weights ask for.
            "input_convention": placeholder(str),  # see models.inputs.network_input
            "model": {
                "network": "deeplab",  # classification: "resnet" or "small_resnet"
                "depth": 101,
                "width": 64,  # channels of the stem
                "stride_placement": placeholder(str),  # as input_convention
                "head_rates": (6, 12, 18, 24),  # dilation of the heads' convolutions
                "active_rates": placeholder(tuple),  # those that are summed
                "discriminator_width": 1024,  # of dann
            },
            "compute_dtype": "float32",  # or "bfloat16": parameters and statistics stay in float32
            "rematerialize": False,  # less memory: blocks are computed again for the gradient
            # Training: a source-only stage, then the adaptation.
            "batch_size": 1,  # of each domain and device
            "accumulate": 1,  # micro-batches of that size in every step, one after the other
            "source_steps": placeholder(int),
            "source_poly_steps": placeholder(int),  # where the schedule reaches 0
            "source_learning_rate": 2.5e-4,  # at the first step
            "schedule": "poly",  # or "inverse" (classification), see msl_jax.training.optimizer
            "steps": placeholder(int),  # these three of the adaptation
            "poly_steps": placeholder(int),
            "learning_rate": 2.5e-4,
            "head_rate_multiplier": 10.0,  # of the heads' learning rate
            "momentum": 0.9,  # SGD's
            "weight_decay": 5e-4,
            "repeated_visits": placeholder(bool),  # see training.optimizer.repeated_sgd
            "lambda_target": placeholder(float),  # weight of the target loss (Eq. 1)
            "lambda_source_low": placeholder(float),  # low head on source labels
            "lambda_low": 0.1,  # low head on the guidance, times lambda_target
            "iw_alpha": 0.2,  # alpha of Eq. 13, of the variants _iw
            "guidance_threshold": 0.95,  # delta of Eq. 15, and of hard pseudo-labels
            "normalization": placeholder(str),  # of the losses: "official" or "paper"
            "guidance_rule": placeholder(str),  # likewise
            "frozen_norms": False,  # keep the norms' statistics in the adaptation
            # A run's workdir, a converted checkpoint, a .pth or .safetensors file. Where it holds
            # no trained final head (ImageNet weights), or is empty, this run trains the
            # source-only stage first.
            "init_from": "",
            "reinit_heads": False,  # take over the backbone alone
            # Evaluation.
            "eval_every": 2_975,  # steps; each evaluation leaves a checkpoint
            "eval_batch_size": 1,  # on each device
            "eval_size": "network",  # or "full": labels at their own size
            "flip": False,  # average over the mirrored image
            "scales": (1.0,),  # average over these sizes
            # Behaviour.
            "log_every": 20,  # steps
            "keep_every": 0,  # checkpoints at its multiples stay, beside latest two and best
            "on_bad_example": "error",  # or "skip": leave it out and name it
            "debug": False,  # tracebacks, and a search for the first non-finite operation
        }
    )
    return config.lock()  # a misspelt key in a configuration file is an error too


def augmentation(
    mirror: bool = True,
    blur: bool = True,
    scale: tuple[float, float] = (1.0, 1.0),
    crop: tuple[int, ...] = (),
    jitter: float = 0.0,
) -> dict[str, Any]:
    """Settings of one domain's augmentation, see `msl_jax.data.augment.Augmentation`.

    Scale (1, 1) and an empty crop leave the size alone.
    """
    return {"mirror": mirror, "blur": blur, "scale": scale, "crop": crop, "jitter": jitter}


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks values that would only fail late or silently.

    Args:
        config: complete, see `msl_jax.config.presets.complete`.

    Raises:
        UserError: one message that lists every key with a wrong value.
    """
    problems: list[str] = []
    values = flat(config)
    if missing := [key for key, value in values.items() if value is None]:
        raise UserError(f"the configuration has no value (None) for {', '.join(missing)}")

    def expect(key: str, good: bool, expected: str) -> None:
        if not good:
            problems.append(f"  {key}: expected {expected}, found {values[key]!r}")

    def choice(key: str, value: Any, choices: Sequence[Any]) -> None:
        expect(key, value in choices, "one of " + ", ".join(repr(c) for c in choices))

    choice("task", config.task, tuple(VARIANTS_OF))
    choice("variant", config.variant, tuple(VARIANTS_OF.get(config.task, VARIANTS)))
    choice("normalization", config.normalization, ("official", "paper"))
    choice("guidance_rule", config.guidance_rule, ("official", "paper"))
    choice("input_convention", config.input_convention, ("caffe", "torchvision"))
    networks = DEPTHS_OF.get(config.task, {})
    choice("model.network", config.model.network, tuple(networks))
    choice("model.depth", config.model.depth, networks.get(config.model.network, ()))
    choice("model.stride_placement", config.model.stride_placement, ("caffe", "torchvision"))
    choice("schedule", config.schedule, ("poly", "inverse"))
    choice("compute_dtype", config.compute_dtype, ("float32", "bfloat16"))
    choice("eval_size", config.eval_size, ("network", "full"))
    choice("on_bad_example", config.on_bad_example, ("error", "skip"))
    counts = ("num_classes", "batch_size", "accumulate", "eval_batch_size", "steps", "source_steps")
    for key in counts:
        expect(key, config[key] >= 1, "at least 1")
    for stage in ("", "source_"):
        steps = config[f"{stage}steps"]
        expect(f"{stage}poly_steps", config[f"{stage}poly_steps"] >= steps, f"at least {steps}")
        expect(f"{stage}poly_steps", config[f"{stage}poly_steps"] <= _MOST, f"at most {_MOST}")
    expect("keep_every", config.keep_every >= 0, "0 or more")
    for key in ("eval_every", "log_every"):
        expect(key, config[key] >= 1, "at least 1")
    expect("num_classes", config.num_classes < 255, "at most 254: 255 marks ignored pixels")
    for key in ("width", "discriminator_width"):
        expect(f"model.{key}", config.model[key] >= 1, "at least 1")
    for key, value in FIXED_OF.get(config.task, {}).items():
        expect(key, config[key] == value, f"{value!r} in {config.task}")
    expect("seed", config.seed >= 0, "0 or more")
    for key in ("source_size", "target_size"):
        expect(key, _is_size(config[key]), _SIZE)
    for key in ("learning_rate", "source_learning_rate", "head_rate_multiplier"):
        expect(key, 0 < config[key] < math.inf, "more than 0, and finite")
    for key in ("weight_decay", "lambda_target", "lambda_low", "lambda_source_low"):
        expect(key, 0 <= config[key] < math.inf, "0 or more, and finite")
    for key in ("momentum", "guidance_threshold", "iw_alpha"):
        expect(key, 0 <= config[key] <= 1, "a number in [0, 1]")
    expect("momentum", config.momentum < 1, "less than 1")
    active, rates = config.model.active_rates, config.model.head_rates
    for key in ("head_rates", "active_rates"):
        good = len(config.model[key]) > 0 and _are(int, config.model[key], 1)
        expect(f"model.{key}", good, "integers of at least 1, at least one of them")
    expect("model.active_rates", set(active) <= set(rates), f"some of model.head_rates {rates}")
    good = len(config.scales) > 0 and _are((int, float), config.scales, 1e-3)
    expect("scales", good, "one or more numbers over 0")
    for domain in ("source_augmentation", "target_augmentation"):
        scale, crop = config[domain].scale, config[domain].crop
        good = len(crop) == 0 or _is_size(crop)
        expect(f"{domain}.crop", good, f"{_SIZE}, or () for none")
        good = len(scale) == 2 and _are((int, float), scale, 1e-3) and scale[0] <= scale[1]
        expect(f"{domain}.scale", good, "(low, high) with 0 < low <= high")
        expect(f"{domain}.jitter", 0 <= config[domain].jitter <= 1, "a number in [0, 1]")
    if problems:
        raise UserError("wrong values in the configuration:\n" + "\n".join(problems))


def _are(kind: Any, values: Any, smallest: float) -> bool:
    return all(isinstance(value, kind) and value >= smallest for value in values)


def _is_size(value: Any) -> bool:
    return len(value) == 2 and _are(int, value, 16) and math.prod(value) <= MAX_PIXELS


def as_json(config: config_dict.ConfigDict) -> str:
    """The configuration as text: sorted keys, so that equal ones give equal text."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def flat(config: config_dict.ConfigDict) -> dict[str, Any]:
    """`{key: value}` with the keys of groups joined by dots."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        inner = flat(value) if isinstance(value, config_dict.ConfigDict) else None
        found.update({key: value} if inner is None else {f"{key}.{k}": v for k, v in inner.items()})
    return found


def free_keys(config: config_dict.ConfigDict) -> tuple[str, ...]:
    """Keys on which nothing in the run of a configuration depends."""
    return FREE_KEYS if variant_of(config).adapt else (*FREE_KEYS, *ADAPTATION_KEYS)


def differences(
    old: dict[str, Any], new: dict[str, Any], free: Sequence[str] = FREE_KEYS, prefix: str = ""
) -> list[str]:
    """Lines `key: old -> new` for all keys that differ, those of `free` left out."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        name, a, b = prefix + key, old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, free, f"{name}.")
        elif a != b and name not in free:
            lines.append(f"  {name}: {a!r} -> {b!r}")
    return lines
