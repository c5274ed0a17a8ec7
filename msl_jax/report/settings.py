"""The configuration of a run in groups, with the defaults."""

from __future__ import annotations

from typing import Any, NamedTuple

from ml_collections.config_dict import ConfigDict

from msl_jax.config import base_config
from msl_jax.config.keys import flat
from msl_jax.config.presets import complete

# Prefixes of keys; a key belongs to the first group with a prefix of it.
_GROUPS = {
    "Run": (
        *("name", "task", "variant", "seed", "preset", "shrink", "init_from", "reinit_heads"),
        *("registered_by", "debug"),
    ),
    "Data": (
        *("source_train", "source_eval", "source_root", "source_size", "source_augmentation"),
        *("target_train", "target_eval", "target_root", "target_size", "target_augmentation"),
        *("source_label_ids", "target_label_ids"),
        *("data_root", "classes_file", "records_dir", "num_classes", "on_bad_example"),
    ),
    "Network": ("model.", "input_convention", "compute_dtype", "rematerialize"),
    "Training": (
        *("source_steps", "source_poly_steps", "source_learning_rate", "source_frozen_batch_norm"),
        *("steps", "poly_steps", "learning_rate", "head_rate_multiplier", "momentum"),
        *("schedule", "warmup_steps", "weight_decay", "optimizer", "repeated_visits"),
        *("batch_size", "accumulate", "log_every", "keep_every"),
    ),
    "Adaptation": (
        "method.",
        "lambda_",
        "iw_alpha",
        "guidance_",
        "normalization",
        "frozen_batch_norm",
    ),
    "Evaluation": ("eval_", "flip", "scales", "photo_size"),
    "Other": ("",),
}


class Setting(NamedTuple):
    """A key, its value, and its default (the official recipe), None where it has none."""

    key: str
    value: str
    default: str | None

    @property
    def changed(self) -> bool:
        """Whether the value differs from the default."""
        return self.value != self.default


def settings(config: ConfigDict, *, shrunk: bool = False) -> dict[str, list[Setting]]:
    """The keys of each group that has any.

    Args:
        config: a run's, complete.
        shrunk: whether its key `shrink` has made it, which it then no longer has.
    """
    base = base_config(config.name, config.variant, config.task)
    defaults = _texts(complete(base))
    groups: dict[str, list[Setting]] = {name: [] for name in _GROUPS}
    values = _texts(config) | ({"shrink": "True"} if shrunk else {})
    for key, value in values.items():
        group = next(name for name, begin in _GROUPS.items() if key.startswith(begin))
        groups[group].append(Setting(key, value, defaults.get(key)))
    return {name: found for name, found in groups.items() if found}


def _texts(config: ConfigDict) -> dict[str, str]:
    return {key: _text(value) for key, value in sorted(flat(config).items())}


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_text, value))})"
    return str(value) if value != "" else "(empty)"
