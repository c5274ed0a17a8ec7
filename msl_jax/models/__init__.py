"""Networks as functional Flax (Linen) modules."""

from msl_jax.models.backbones.resnet import ResNet
from msl_jax.models.classifier import ImageClassifier
from msl_jax.models.deeplab import DeepLabV2
from msl_jax.models.initial import initial_heads, initial_variables
from msl_jax.models.layers import resize_align_corners

__all__ = [
    "DeepLabV2",
    "ImageClassifier",
    "ResNet",
    "initial_heads",
    "initial_variables",
    "resize_align_corners",
]
