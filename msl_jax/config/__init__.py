"""The configuration: keys with their defaults and checks, and presets for what is left open."""

from msl_jax.config.keys import augmentation, base_config, begin_with_imagenet
from msl_jax.methods.variants import (
    ADVERSARIAL,
    DEFAULT_VARIANT,
    IN_ROUNDS,
    SELF_TRAINING,
    VARIANTS,
)

__all__ = [
    "ADVERSARIAL",
    "DEFAULT_VARIANT",
    "IN_ROUNDS",
    "SELF_TRAINING",
    "VARIANTS",
    "augmentation",
    "base_config",
    "begin_with_imagenet",
]
