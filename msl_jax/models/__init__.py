"""Networks as functional Flax (Linen) modules."""

from msl_jax.models.backbones.resnet import ResNet
from msl_jax.models.deeplab import DeepLabV2
from msl_jax.models.initial import initial_heads, initial_variables
from msl_jax.models.layers import resize_align_corners
from msl_jax.models.resnet_classifier import ResNetClassifier

__all__ = [
    "DeepLabV2",
    "ResNet",
    "ResNetClassifier",
    "initial_heads",
    "initial_variables",
    "resize_align_corners",
]
