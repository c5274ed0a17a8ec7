"""What a backbone is: the seam between features and the heads that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from jax import Array

from msl_jax.models.inputs import InputConvention
from msl_jax.models.keys import Key


class ParameterGroup(NamedTuple):
    """Parameters of a backbone that the optimizer treats alike.

    Attributes:
        pattern: regular expression for the start of their paths within the backbone, such as
            ``bn1/``.
        name: of the group; several patterns may have one.
        visits: how often the official optimizer comes by in every step, see
            `msl_jax.training.optimizer.repeated_sgd`; 0 leaves them as they are.
    """

    pattern: str
    name: str
    visits: int = 1


class Backbone(Protocol):
    """A Flax module that gives features to the heads of a network.

    To be built by a configuration it is listed in `msl_jax.models.backbones.registry`.

    Attributes:
        KEYS: its fields that the configuration's group `model` sets. Backbones share that group,
            so that a key of one name has one default.
        PUBLISHED: its fields as in the published network, which a classifier stands on, where they
            differ from those for segmentation.
        GROUPS: its parameters by the optimizer's groups; the first pattern that matches decides.
        INPUT_CONVENTIONS: those that weights of such a network may have been trained with; the
            first is that of a network trained from scratch.
        output_stride: what the images' size is divided by to give that of the high features, and
            for segmentation that of the low ones too; rounded up.
        input_convention: how images enter; None where they come ready.
        rematerialize: less memory: what is inside is computed again for the gradient.
        param_dtype: dtype of parameters and statistics.
    """

    KEYS: ClassVar[Mapping[str, Key]]
    PUBLISHED: ClassVar[Mapping[str, Any]]
    GROUPS: ClassVar[tuple[ParameterGroup, ...]]
    INPUT_CONVENTIONS: ClassVar[tuple[InputConvention, ...]]

    output_stride: Any
    input_convention: InputConvention | None
    rematerialize: bool
    param_dtype: Any

    @property
    def title(self) -> str:
        """What it is, for messages, such as "ResNet-50 of width 64"."""
        ...

    def __call__(self, images: Array, *, use_running_average: bool) -> tuple[Array, Array]:
        """Low and high features `[B, h, w, C]`, each with its C.

        Args:
            images: `[B, H, W, 3]`, ready for the network; their dtype is that of the computation.
            use_running_average: normalise by the running statistics of the batch norm.
        """
        ...


class OnBackbone:
    """What a network on a backbone takes from it."""

    backbone: Backbone

    @property
    def input_convention(self) -> InputConvention | None:
        """How images enter: the backbone's."""
        return self.backbone.input_convention

    @property
    def param_dtype(self) -> Any:
        """Dtype of parameters and statistics: the backbone's."""
        return self.backbone.param_dtype
