"""ResNet that classifies photos (Section 4.3 of the paper)."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from msl_jax.models.backbones.resnet import ResNet


class ResNetClassifier(nn.Module):
    """torchvision's ResNet: bottleneck blocks, the mean over all places, and a linear classifier.

    A block's stride sits on its 3x3 convolution, as in torchvision's weights. The parts are
    `backbone` and `classifier` (torchvision's `fc`).

    Attributes:
        num_classes: outputs of the classifier.
        depth: 14, 26, 50 or 101.
        width: channels of the stem, 64 in the published network.
        frozen_norms: keep the running statistics as they are, also in training.
        rematerialize: compute each block again for the gradient instead of keeping what is inside.
        dtype: compute dtype; default: that of the images. The features' mean and the logits are in
            float32 or better.
        param_dtype: dtype of parameters and statistics.

    >>> import jax, jax.numpy as jnp
    >>> model = ResNetClassifier(num_classes=5, depth=14, width=4)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 33, 49, 3)))
    >>> logits, features = model.apply(variables, jnp.zeros((1, 33, 49, 3)))
    >>> logits.shape, features.shape
    ((1, 5), (1, 128))
    """

    num_classes: int
    depth: int = 50
    width: int = 64
    frozen_norms: bool = False
    rematerialize: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array, train: bool = False) -> tuple[Array, Array]:
        """Classifies images.

        Args:
            images: `[B, H, W, 3]`, red, green, blue, normalised as torchvision's
                (`models.inputs.network_input`).
            train: normalise by the batch and update `batch_stats`, which must be mutable.

        Returns:
            Logits `[B, num_classes]` and the features that the classifier reads, `[B, 32 width]`.
        """
        _, stage4 = ResNet(
            self.depth,
            self.width,
            "torchvision",
            self.rematerialize,
            self.param_dtype,
            output_stride=32,
            ceil_pool=False,
            name="backbone",
        )(
            images.astype(self.dtype or images.dtype),
            use_running_average=not train or self.frozen_norms,
        )
        features = stage4.astype(np.promote_types(stage4.dtype, np.float32)).mean((1, 2))
        logits = nn.Dense(
            self.num_classes,
            dtype=features.dtype,
            param_dtype=self.param_dtype,
            kernel_init=nn.initializers.normal(0.01),  # as the heads of DeepLabv2
            name="classifier",
        )(features)
        return logits, features
