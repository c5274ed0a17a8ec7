"""A configuration: made with its keys' defaults, checked, compared.

The keys are in `msl_jax.config.table`. One that is left at None is decided by the weights of
`init_from` or by the preset, see `msl_jax.config.presets`.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

from ml_collections import config_dict

from msl_jax.config.table import KEYS
from msl_jax.data.limits import MAX_BATCH_PIXELS
from msl_jax.methods.registry import METHODS, keys_of, method_of
from msl_jax.methods.variants import (
    DEFAULT_VARIANT,
    SELF_TRAINING,
    VARIANTS_OF,
    expect_variant,
    variant_of,
)
from msl_jax.models.keys import Key, choice
from msl_jax.models.spec import NETWORKS, NetworkSpec, all_keys
from msl_jax.runtime.errors import UserError

# Keys that may change when a run is continued.
FREE_KEYS = ("debug", "keep_every", "photo_size")
# Keys that say where data lie; those of a run may change with the place of its data.
PLACE_KEYS = ("data_root", "source_root", "target_root", "classes_file", "records_dir")
# Keys of the adaptation alone; nothing in a run of `source` or `oracle` depends on them.
ADAPTATION_KEYS = (
    *("steps", "poly_steps", "learning_rate", "frozen_batch_norm", "normalization"),
    *("lambda_target", "lambda_low", "iw_alpha", "guidance_threshold", "guidance_rule"),
)

# By task: its networks, and the keys of which only one value makes sense.
NETWORKS_OF: dict[str, tuple[str, ...]] = {
    "segmentation": ("deeplab",),
    "classification": ("small_resnet", "classifier"),
}
FIXED_OF: dict[str, dict[str, Any]] = {
    "classification": {
        **{"eval_size": "network", "scales": (1.0,)},
        **{"source_frozen_batch_norm": False, "frozen_batch_norm": False, "rematerialize": False},
    },
}


def base_config(
    name: str, variant: str = DEFAULT_VARIANT, task: str = "segmentation"
) -> config_dict.ConfigDict:
    """Configuration `name` with every key at its default: the values of the official recipe.

    Args:
        name: of its file in configs/.
        variant: one of the task's, see `msl_jax.methods.variants`.
        task: one of `VARIANTS_OF`.

    Raises:
        UserError: the variant is unknown.
    """
    expect_variant(variant, task, name)
    values: dict[str, Any] = {}
    for key, found in {**KEYS, **model_keys()}.items():
        group, _, name_there = key.rpartition(".")
        place = values.setdefault(group, {}) if group else values
        open_key = found.default is None  # until the weights or the preset decide it
        place[name_there] = config_dict.placeholder(found.kind) if open_key else found.default
    values |= {"name": name, "task": task, "variant": variant}
    values["method"] = {key: found.default for key, found in keys_of(variant, task).items()}
    # Locked: a misspelt key in a configuration file is an error too.
    return config_dict.ConfigDict(values).lock()


def model_keys() -> dict[str, Key]:
    """The keys `model.NAME` of all backbones and networks, with their defaults."""
    return {f"model.{name}": key for name, key in all_keys().items()}


def method_keys() -> dict[str, dict[str, Key]]:
    """By method, its keys `method.NAME`."""
    return {
        name: {f"method.{key}": found for key, found in method.KEYS.items()}
        for methods in METHODS.values()
        for name, method in methods.items()
        if method.KEYS
    }


def augmentation(
    mirror: bool = True,
    blur: bool = True,
    scale: tuple[float, float] = (1.0, 1.0),
    crop: tuple[int, ...] = (),
    jitter: float = 0.0,
) -> dict[str, Any]:
    """Settings of one domain's augmentation: the `AUGMENTATION` of `msl_jax.config.table`."""
    return {"mirror": mirror, "blur": blur, "scale": scale, "crop": crop, "jitter": jitter}


def begin_with_imagenet(config: config_dict.ConfigDict) -> None:
    """Sets a segmentation's network and training to EfficientNet-Lite0 with weights of ImageNet.

    For batches of four crops on two CPU cores; chosen on CamVid's day frames (docs/results.md).
    """
    config.init_from = config.model.backbone = "efficientnet_lite0"
    config.model.joined = True
    config.model.aspp_dilations = config.model.active_dilations = (2, 4)
    # Statistics of four crops are worse than ImageNet's (day-val 55.5 instead of 59.2 after 800
    # steps).
    config.source_frozen_batch_norm = config.frozen_batch_norm = True
    config.optimizer, config.warmup_steps = "adamw", 100
    config.head_rate_multiplier = 10.0
    config.batch_size, config.eval_batch_size = 4, 4
    config.source_steps, config.source_learning_rate = 2000, 1e-4
    config.steps, config.learning_rate = 300, 5e-5
    config.lambda_target = 0.1  # no more by the rule without labels
    # Chosen by the same rule for self_training (docs/results.md, "With a teacher"); dacs and mic,
    # and other data sets, have them untried.
    if config.variant in SELF_TRAINING:
        config.steps, config.learning_rate = 600, 3e-5


def check_config(config: config_dict.ConfigDict) -> None:
    """Checks the values, most of which would otherwise fail late or silently.

    Args:
        config: complete, see `msl_jax.config.presets.complete`.

    Raises:
        UserError: lists every key with a wrong value.
    """
    with types_explained("the configuration"):
        _check_values(config)


@contextlib.contextmanager
def types_explained(origin: str) -> Iterator[None]:
    """Turns what a value of a wrong type leads to into one message; `origin` names the file."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{origin} has a key or value of the wrong type: {error}") from error


def _check_values(config: config_dict.ConfigDict) -> None:
    values = flat(config)
    if missing := [key for key, value in values.items() if value is None]:
        raise UserError(f"the configuration has no value (None) for {', '.join(missing)}")
    expected: dict[str, str] = {}  # of wrong values

    def expect(key: str, good: bool, text: str) -> None:
        if not good:
            expected.setdefault(key, text)

    variants, network = VARIANTS_OF.get(config.task, {}), config.model.network
    if variants:
        names = choice(tuple(variants))
        expect("variant", names.accepts(config.variant), names.expected)
    if network in NETWORKS and config.task in NETWORKS_OF:
        networks = choice(NETWORKS_OF[config.task])
        expect("model.network", networks.accepts(network), networks.expected)
    for key, text in NetworkSpec.from_config(config).wrong_values().items():
        expect(key, False, text)
    for key, known in KEYS.items():
        expect(key, known.accepts(values[key]), known.expected)
    adapts = config.variant in variants and variants[config.variant].adapt
    if config.variant in variants and not adapts:
        expect("source_steps", config.source_steps >= 1, "at least 1")
    if config.source_steps > 0 and not config.init_from:
        text = "false, as a network without weights has no statistics to keep (set init_from)"
        expect("source_frozen_batch_norm", not config.source_frozen_batch_norm, text)
    for stage in ("", "source_"):
        steps = config[f"{stage}steps"]
        expect(f"{stage}poly_steps", config[f"{stage}poly_steps"] >= steps, f"at least {steps}")
        # Else the learning rate would never reach its value.
        if steps > 0 and (stage or adapts):
            expect("warmup_steps", config.warmup_steps < steps, f"below {stage}steps, {steps}")
    for key, images, size in _batches(config):
        most = MAX_BATCH_PIXELS // math.prod(size)
        expect(key, images <= most, f"at most {most:,} images of {size} at a time")
    for key, value in FIXED_OF.get(config.task, {}).items():
        expect(key, config[key] == value, f"{value!r} in {config.task}")
    active, dilations = config.model.active_dilations, config.model.aspp_dilations
    good = set(active) <= set(dilations)
    expect("model.active_dilations", good, f"some of model.aspp_dilations {dilations}")
    problems = [
        f"  {key}: expected {text}, found {values[key]!r}" for key, text in expected.items()
    ]
    if config.variant in variants:
        problems += _wrong_method_keys(config) or method_of(config, adapt=True).problems(config)
    if problems:
        raise UserError("wrong values in the configuration:\n" + "\n".join(problems))


def _batches(config: config_dict.ConfigDict) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """A key, and how many images of which size it puts into memory at once, on each device."""
    counts = ("batch_size", "accumulate", "eval_batch_size")
    if not all(KEYS[key].accepts(config[key]) for key in counts):
        return
    for domain in ("source", "target"):
        full = tuple(config[f"{domain}_size"])
        size = tuple(config[f"{domain}_augmentation"].crop) or full
        if KEYS["source_size"].accepts(full) and KEYS["source_size"].accepts(size):
            yield "batch_size", config.batch_size, size
            yield "accumulate", config.batch_size * config.accumulate, size
            yield "eval_batch_size", config.eval_batch_size, full


def _wrong_method_keys(config: config_dict.ConfigDict) -> list[str]:
    keys, found = keys_of(config.variant, config.task), config.method.to_dict()
    if set(keys) != set(found):
        return [
            f"  method: the keys of {config.variant} are {sorted(keys)}, found {sorted(found)};"
            f" give the variant behind the configuration, --config NAME:{config.variant}"
        ]
    return [
        f"  method.{name}: expected {key.expected}, found {found[name]!r}"
        for name, key in keys.items()
        if not key.accepts(found[name])
    ]


def as_json(config: config_dict.ConfigDict) -> str:
    """The configuration as JSON with sorted keys: equal configurations give equal text."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def flat(config: config_dict.ConfigDict) -> dict[str, Any]:
    """`{key: value}` with the keys of groups joined by dots."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        inner = flat(value) if isinstance(value, config_dict.ConfigDict) else None
        found.update({key: value} if inner is None else {f"{key}.{k}": v for k, v in inner.items()})
    return found


def free_keys(config: config_dict.ConfigDict) -> tuple[str, ...]:
    """Keys of a configuration on which no result of its run depends."""
    return FREE_KEYS if variant_of(config).adapt else (*FREE_KEYS, *ADAPTATION_KEYS)


def differences(
    old: config_dict.ConfigDict, new: config_dict.ConfigDict
) -> dict[str, tuple[Any, Any]]:
    """Both values of each key that differs, by key, except for `free_keys`.

    None is the value of an open key, and of one that only the other configuration has.
    """
    # Compared as JSON, which knows no difference between a tuple and a list.
    before, after = (flat(config_dict.ConfigDict(json.loads(as_json(c)))) for c in (old, new))
    pairs = {key: (before.get(key), after.get(key)) for key in sorted({*before, *after})}
    free = free_keys(old)
    return {key: (a, b) for key, (a, b) in pairs.items() if a != b and key not in free}
