"""What must be known of a network to run its weights."""

from __future__ import annotations

import dataclasses
from typing import Any

from msl_jax.models import DeepLabV2
from msl_jax.models.resnet import StridePlacement
from msl_jax.tasks.segmentation import InputConvention

OFFICIAL_RATES = (6, 12, 18, 24)
OFFICIAL_ACTIVE_RATES = (6, 12)


@dataclasses.dataclass(frozen=True)
class Network:
    """A DeepLabv2 and how images enter it.

    Attributes:
        depth: layers of the ResNet.
        width: channels of its stem.
        num_classes: outputs of the heads.
        head_rates: rates for which a head has parameters.
        active_rates: rates that are summed.
        stride_placement: see `msl_jax.models.resnet.Bottleneck`.
        input_convention: see `msl_jax.tasks.segmentation.network_input`.
    """

    depth: int
    width: int
    num_classes: int
    head_rates: tuple[int, ...] = OFFICIAL_RATES
    active_rates: tuple[int, ...] = OFFICIAL_ACTIVE_RATES
    stride_placement: StridePlacement = "caffe"
    input_convention: InputConvention = "caffe"

    def model(self, **options: Any) -> DeepLabV2:
        """The network as a Flax module; `options` are further attributes of `DeepLabV2`."""
        return DeepLabV2(
            num_classes=self.num_classes,
            depth=self.depth,
            width=self.width,
            stride_placement=self.stride_placement,
            head_rates=self.head_rates,
            active_rates=self.active_rates,
            **options,
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Network:
        """Reads what `dataclasses.asdict` gave to JSON.

        Raises:
            TypeError: a key is missing or unknown.
        """
        rates = {key: tuple(values[key]) for key in ("head_rates", "active_rates")}
        return cls(**{**values, **rates})
