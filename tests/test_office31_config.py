"""configs/office31.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from msl_jax.config.keys import check_config
from msl_jax.config.presets import complete
from msl_jax.methods.variants import CLASSIFICATION_VARIANTS

CONFIG = Path(__file__).parent.parent / "configs" / "office31.py"


@pytest.mark.parametrize("variant", CLASSIFICATION_VARIANTS)
def test_every_variant_is_valid(variant: str) -> None:
    config = runpy.run_path(str(CONFIG))["get_config"](variant)
    config.source, config.target = "dslr", "amazon"
    config = complete(config)
    check_config(config)
    assert config.name == "office31-dslr-amazon"
    assert config.source_train == config.source_eval == "office31/dslr"
    assert config.target_train == config.target_eval == "office31/amazon"


def test_settings_of_the_paper() -> None:
    """Section 4.2: batch, rate of the new classifier, schedule, weights."""
    get_config = runpy.run_path(str(CONFIG))["get_config"]
    for variant, weight in (("max_square", 0.3), ("minent", 0.03)):
        config = complete(get_config(variant))
        assert config.lambda_target == weight
        assert (config.batch_size, config.schedule, config.normalization) == (
            *(64, "inverse", "paper"),
        )
        assert config.learning_rate * config.head_rate_multiplier == pytest.approx(0.01)
