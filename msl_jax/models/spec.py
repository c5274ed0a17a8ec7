"""What must be known of a network to run its weights."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from msl_jax.models import DeepLabV2, ResNetClassifier
from msl_jax.models.backbones.resnet import STAGE_SIZES, StridePlacement
from msl_jax.models.inputs import InputConvention

# Of the four convolutions of a head the official code sums the first two, see `DeepLabV2`.
OFFICIAL_RATES = (6, 12, 18, 24)


@dataclasses.dataclass(frozen=True)
class Network:
    """A DeepLabv2 or a classifier and how images enter it; None where the weights do not tell.

    Attributes:
        depth: layers of the ResNet.
        width: channels of its stem.
        stride_placement: see `msl_jax.models.backbones.resnet.Bottleneck`.
        input_convention: see `msl_jax.models.inputs.network_input`.
        num_classes: outputs of the heads.
        head_rates: rates for which a head has parameters; a classifier has none.
        active_rates: rates that are summed; likewise.
    """

    depth: int
    width: int
    stride_placement: StridePlacement
    input_convention: InputConvention
    num_classes: int | None = None
    head_rates: tuple[int, ...] | None = None
    active_rates: tuple[int, ...] | None = None

    def model(self, **options: Any) -> DeepLabV2:
        """The network as a `DeepLabV2`; `options` are further attributes of it.

        Raises:
            ValueError: something is not known.
        """
        if self.num_classes is None or self.head_rates is None or self.active_rates is None:
            raise ValueError(f"not known in full: {self}")
        return DeepLabV2(
            num_classes=self.num_classes,
            depth=self.depth,
            width=self.width,
            stride_placement=self.stride_placement,
            head_rates=self.head_rates,
            active_rates=self.active_rates,
            **options,
        )

    def classifier(self) -> ResNetClassifier:
        """The network as a `ResNetClassifier`.

        Raises:
            ValueError: the number of classes is not known.
        """
        if self.num_classes is None:
            raise ValueError(f"not known in full: {self}")
        return ResNetClassifier(self.num_classes, self.depth, self.width)

    def without_heads(self) -> Network:
        """What is left to know when all heads are drawn anew."""
        return dataclasses.replace(self, num_classes=None, head_rates=None, active_rates=None)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Network:
        """Reads what `dataclasses.asdict` gave to JSON.

        Raises:
            TypeError: a field is missing, unknown or of another kind.
        """
        tuples = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        network = cls(**{**values, **tuples})
        conventions = ("caffe", "torchvision")
        rates = [r for r in (network.head_rates, network.active_rates) if r is not None]
        counts = [network.width, 1 if network.num_classes is None else network.num_classes]
        if not (
            network.depth in STAGE_SIZES
            and {network.stride_placement, network.input_convention} <= set(conventions)
            and all(isinstance(r, tuple) and r for r in rates)
            and all(isinstance(n, int) and n > 0 for n in [*counts, *itertools.chain(*rates)])
        ):
            raise TypeError(f"impossible values: {network}")
        return network
