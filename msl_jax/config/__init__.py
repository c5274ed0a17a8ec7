"""What a run is told: keys with their defaults and checks, and presets that decide what is left."""

from msl_jax.config.keys import DEFAULT_VARIANT, VARIANTS, augmentation, base_config

__all__ = ["DEFAULT_VARIANT", "VARIANTS", "augmentation", "base_config"]
