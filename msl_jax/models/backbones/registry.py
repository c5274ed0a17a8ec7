"""The backbones by the key `model.backbone` of a configuration."""

from __future__ import annotations

from typing import Any

from msl_jax.models.backbones import efficientnet_lite
from msl_jax.models.backbones.resnet import ResNet

# Classes of `msl_jax.models.backbones.backbone.Backbone`. The names of their arrays in public files
# are in `msl_jax.weights.registry`; `msl_jax.models.spec.register_backbone` adds one's own.
BACKBONES: dict[str, Any] = {
    "resnet": ResNet,
    **{f"efficientnet_lite{lite.version}": lite for lite in efficientnet_lite.VERSIONS},
}
