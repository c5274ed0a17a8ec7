"""What methods are concerned about."""

from __future__ import annotations

from typing import Any

import pytest

from msl_jax.methods.registry import method_of


def _metrics(**losses: float) -> dict[str, float]:
    """Half of each discriminator's loss on either domain."""
    parts = ("source/discriminator", "target/discriminator")
    return {f"{part}_{head}": loss / 2 for part in parts for head, loss in losses.items()}


@pytest.mark.parametrize(
    ("variant", "gan", "metrics", "heads"),
    [
        ("advent", "vanilla", _metrics(final=0.03, low=0.04), "final head"),
        ("advent", "vanilla", _metrics(final=0.04, low=0.03), "low head"),
        ("adaptsegnet", "vanilla", _metrics(final=0.01, low=0.01), "final and the low head"),
        ("adaptsegnet", "least_squares", _metrics(final=0.03, low=0.012), "low head"),
        ("adaptsegnet_single", "vanilla", _metrics(final=0.03), "final head"),
    ],
)
def test_discriminators_that_win(
    tiny_config: Any, variant: str, gan: str, metrics: dict[str, float], heads: str
) -> None:
    """Below a twentieth of what chance gives: ln 2, or a quarter."""
    config = tiny_config(variant, **{"method.gan": gan})
    found = method_of(config, adapt=True).concern(config, metrics)
    assert f"the discriminator of the {heads} tells" in found
    even = {name: 10 * loss for name, loss in metrics.items()}
    assert method_of(config, adapt=True).concern(config, even) == ""
    assert method_of(config, adapt=True).concern(config, {"source/final": 0.0}) == ""


@pytest.mark.parametrize("variant", ["max_square", "minent_advent", "dacs"])
def test_others_have_none(tiny_config: Any, variant: str) -> None:
    config = tiny_config(variant)
    metrics = _metrics(final=0.0, low=0.0)
    assert method_of(config, adapt=True).concern(config, metrics) == ""
