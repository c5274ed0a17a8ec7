"""A classifier of photos on a backbone (Section 4.3 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from flax import linen as nn
from jax import Array

from msl_jax.models.backbones.backbone import Backbone, OnBackbone
from msl_jax.models.backbones.resnet import ResNet
from msl_jax.models.keys import Key


class ImageClassifier(OnBackbone, nn.Module):
    """The mean of a backbone's high features over all places, and a linear classifier.

    With no more arguments it is torchvision's ResNet-50. The parts are `backbone` and `classifier`
    (torchvision's `fc`).

    Attributes:
        num_classes: outputs of the classifier.
        backbone: a `msl_jax.models.backbones.backbone.Backbone`, as published: ``PUBLISHED`` are
            the fields in which it differs from that of a segmentation.
        frozen_batch_norm: keep the running statistics as they are, also in training.
        dtype: compute dtype; default: that of the images. The features' mean and the logits are in
            float32 or better.

    >>> import jax, jax.numpy as jnp
    >>> model = ImageClassifier(5, ResNet(depth=14, width=4, **ResNet.PUBLISHED))
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 33, 49, 3)))
    >>> logits, features = model.apply(variables, jnp.zeros((1, 33, 49, 3)))
    >>> logits.shape, features.shape
    ((1, 5), (1, 128))
    """

    KEYS: ClassVar[Mapping[str, Key]] = {}

    num_classes: int
    backbone: Backbone = ResNet(50, **ResNet.PUBLISHED)
    frozen_batch_norm: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> tuple[Array, Array]:
        """Classifies images.

        Args:
            images: `[B, H, W, 3]`, ready for the network (`models.inputs.network_input`).
            train: normalise by the batch and update `batch_stats`, which must be mutable.

        Returns:
            Logits `[B, num_classes]` and the features that the classifier reads, `[B, F]`.
        """
        _, high = self.backbone(
            images.astype(self.dtype or images.dtype),
            use_running_average=not train or self.frozen_batch_norm,
        )
        features = high.astype(np.promote_types(high.dtype, np.float32)).mean((1, 2))
        logits = nn.Dense(
            self.num_classes,
            dtype=features.dtype,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.normal(0.01),  # as the heads of DeepLabv2
            name="classifier",
        )(features)
        return logits, features
