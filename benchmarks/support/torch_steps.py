"""PyTorch's side of the comparisons: a plain version of the official training and evaluation.

Needs PyTorch, from the extra `convert`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.support import work as settings
from benchmarks.support.measuring import Prepared
from benchmarks.support.reporting import CORES
from benchmarks.support.torch_efficientnet import DeepLabLite0
from benchmarks.support.torch_network import DeepLab, nchw
from benchmarks.support.work import MEMORY_FORMAT, Backbone, Precision, TrainingWork

_FORMATS = {"channels_first": torch.contiguous_format, "channels_last": torch.channels_last}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# Of each domain: pixels `[B, 3, H, W]`, and for the source labels int64 `[B, H, W]`.
Batch = Mapping[str, Mapping[str, Tensor]]
# (images `[B, 3, H, W]`, whether to compute the low head) -> logits of both heads.
Network = Callable[[Tensor, bool], tuple[Tensor, Tensor | None]]


class TrainingStep:
    """One step of the official loop: source, then target, then SGD on the sum of the gradients.

    Every parameter is visited once. The batch norm of a ResNet's stem is frozen; SGD skips
    everything else that has no gradient (dilated convolutions that are not used, the low head of
    the source-only step), as in the official code.

    Args:
        network: trained in place, in train mode.
        adapt: use the target and both heads; otherwise only source labels on the final head.
        precision: see `work.PRECISIONS`.
        compiled: run the network with `torch.compile`.
    """

    def __init__(
        self,
        network: DeepLab | DeepLabLite0,
        *,
        adapt: bool,
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> None:
        network.train()
        self._forward = _Forward(
            torch.compile(network, dynamic=False) if compiled else network, precision
        )
        self._adapt = adapt
        if isinstance(network, DeepLab):
            network.bn1.requires_grad_(False)
        heads = [*network.layer5.parameters(), *network.layer6.parameters()]
        of_heads = {id(parameter) for parameter in heads}
        backbone = [
            parameter
            for parameter in network.parameters()
            if parameter.requires_grad and id(parameter) not in of_heads
        ]
        self._optimizer = torch.optim.SGD(
            [{"params": backbone, "factor": 1.0}, {"params": heads, "factor": settings.HEAD_RATE}],
            settings.LEARNING_RATE,
            momentum=settings.MOMENTUM,
            weight_decay=settings.WEIGHT_DECAY,
        )
        self._made = 0

    def hold_velocities(self) -> None:
        """Creates SGD's velocities, 0, ahead of the first step; the steps stay the same.

        Our state has them from the start, and both sides should begin with the same memory.
        """
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                velocity = torch.empty_like(parameter).fill_(0)  # written, unlike those of calloc
                self._optimizer.state[parameter]["momentum_buffer"] = velocity

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Makes the step and returns the weighted losses; a GPU may still be computing."""
        decay = (1 - self._made / settings.POLY_STEPS) ** 0.9
        for group in self._optimizer.param_groups:
            group["lr"] = group["factor"] * settings.LEARNING_RATE * decay
        self._optimizer.zero_grad()
        losses = source_losses(self._forward, batch["source"], both_heads=self._adapt)
        torch.stack(list(losses.values())).sum().backward()
        if self._adapt:
            of_target = target_losses(self._forward, batch["target"])
            torch.stack(list(of_target.values())).sum().backward()
            losses |= of_target
        self._optimizer.step()
        self._made += 1
        return {name: loss.detach() for name, loss in losses.items()}


class _Forward:
    """The network run in a given precision; logits are float32."""

    def __init__(self, network: Callable[..., Any], precision: Precision) -> None:
        self._network = network
        self._mixed = precision == "bfloat16"
        torch.backends.cudnn.allow_tf32 = precision != "float32"
        torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        # Tries cuDNN's algorithms in the first step, as XLA does at compile time.
        torch.backends.cudnn.benchmark = True

    def __call__(self, images: Tensor, low_head: bool) -> tuple[Tensor, Tensor | None]:
        mixed = torch.autocast(DEVICE.type, torch.bfloat16) if self._mixed else None
        with mixed or contextlib.nullcontext():
            final, low = self._network(images, low_head)
        return final.float(), None if low is None else low.float()


def source_losses(
    network: Network, batch: Mapping[str, Tensor], *, both_heads: bool
) -> dict[str, Tensor]:
    """Cross entropy of the final head and, with its weight, of the low head."""
    final, low = _full_size(network, batch["image"], both_heads)
    losses = {"source/final": _cross_entropy(final, batch["label"])}
    if low is not None:
        losses["source/low"] = settings.LAMBDA_LOW * _cross_entropy(low, batch["label"])
    return losses


def target_losses(network: Network, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """IW maximum squares of the final head and guidance of the low head, with their weights.

    Normalised as in the official code, for a batch of one image as there.
    """
    final, low = _full_size(network, batch["image"], True)
    assert low is not None
    p_final, p_low = final.softmax(1), low.softmax(1)
    with torch.no_grad():
        winner = p_final.argmax(1)
        classes = final.shape[1]
        counts = torch.histc(winner.float(), classes, -0.5, classes - 0.5)
        share = counts[winner] ** settings.IW_ALPHA
        weights = 1 / (share * winner.numel() ** (1 - settings.IW_ALPHA))
        labels = ((p_final + p_low) / 2).argmax(1)
        sure = torch.maximum(p_final.amax(1), p_low.amax(1)) > settings.GUIDANCE_THRESHOLD
        labels[~sure] = settings.IGNORE
    squares = -(weights * p_final.square().sum(1)).sum() / final.shape[1]
    losses = {"target/final": settings.LAMBDA_TARGET * squares}
    weight = settings.LAMBDA_TARGET * settings.LAMBDA_LOW
    # The official mean over no pixels is NaN. The clamp does not wait for the device.
    guidance = _cross_entropy(low, labels, reduction="sum") / sure.sum().clamp(min=1)
    return {**losses, "target/guidance": weight * guidance}


def _full_size(network: Network, images: Tensor, low_head: bool) -> tuple[Tensor, Tensor | None]:
    final, low = network(images, low_head)
    return _upsampled(final, images), None if low is None else _upsampled(low, images)


def _upsampled(logits: Tensor, images: Tensor) -> Tensor:
    size = images.shape[2:]
    return functional.interpolate(logits, size=size, mode="bilinear", align_corners=True)


def _cross_entropy(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    return functional.cross_entropy(
        logits, labels, ignore_index=settings.IGNORE, reduction=reduction
    )


def _network(
    depth: int, width: int, memory_format: str, backbone: Backbone
) -> DeepLab | DeepLabLite0:
    """A random network on `DEVICE`, in this memory format; makes PyTorch use all cores."""
    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    network: DeepLab | DeepLabLite0
    if backbone == "resnet":
        network = DeepLab(settings.NUM_CLASSES, depth, width)
    else:
        network = DeepLabLite0(settings.NUM_CLASSES)
    network.to(DEVICE)
    # Activations follow the weights' format from the first convolution on.
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=_FORMATS[memory_format])
    return network


def network_input(images: np.ndarray, backbone: Backbone) -> Tensor:
    """Uint8 RGB `[B, H, W, 3]` -> float32 `[B, 3, H, W]`, as the network wants them."""
    if backbone == "resnet":  # as from the official loader
        return nchw(images[..., ::-1].astype(np.float32) - settings.BGR_MEAN)
    return nchw((images.astype(np.float32) - 127) / 128)


def training_batch(work: TrainingWork) -> Batch:
    """The random batch of our side, as the official loader would return it."""
    batch: dict[str, dict[str, Tensor]] = {}
    for domain, arrays in settings.training_batch(work).items():
        batch[domain] = {"image": network_input(arrays["image"][0], work.backbone).to(DEVICE)}
        if "label" in arrays:
            labels = torch.from_numpy(arrays["label"][0].astype(np.int64))
            batch[domain]["label"] = labels.to(DEVICE)
    return batch


def training(
    *, memory_format: str = MEMORY_FORMAT, compiled: bool = False, **fields: Any
) -> Prepared:
    """The official training step on the GPU or all cores, on images that are already floats.

    Args:
        memory_format: of the network's activations, `"channels_first"` or `"channels_last"`.
        compiled: run the network with `torch.compile`.
        fields: of `TrainingWork`; variant and rematerialisation are ignored.

    Returns:
        A round is one step.
    """
    work = TrainingWork.from_json(fields)
    network = _network(work.depth, work.width, memory_format, work.backbone)
    step = TrainingStep(
        network, adapt=work.part == "adapt", precision=work.precision, compiled=compiled
    )
    step.hold_velocities()
    batch = training_batch(work)
    before: dict[str, Tensor] = {}

    def run() -> None:
        # Waits for the losses of the previous step, as our loop does.
        nonlocal before
        losses = step(batch)
        for loss in before.values():
            loss.item()
        before = losses

    return Prepared(run, {"memory_format": memory_format})


def evaluation(
    *,
    size: Sequence[int],
    depth: int,
    width: int,
    memory_format: str = MEMORY_FORMAT,
    precision: Precision = "float32",
    backbone: Backbone = "resnet",
    batch_size: int = 1,
) -> Prepared:
    """The official evaluation of images, already in floats, on the GPU or all cores.

    Args:
        size: height, width.
        depth: number of layers of a ResNet.
        width: channels of its stem.
        memory_format: of the network's activations, `"channels_first"` or `"channels_last"`.
        precision: see `work.PRECISIONS`.
        backbone: of the network.
        batch_size: images at once.

    Returns:
        A round is one batch.
    """
    network = _Forward(_network(depth, width, memory_format, backbone).eval(), precision)
    rng = np.random.default_rng(0)
    images = network_input(settings.random_images(rng, (batch_size, *size)), backbone)
    labels = settings.random_labels(rng, (batch_size, *size)).astype(np.int64)
    confusion = np.zeros((settings.NUM_CLASSES, settings.NUM_CLASSES), np.int64)

    def run() -> None:
        nonlocal confusion
        with torch.no_grad():
            final, _ = _full_size(network, images.to(DEVICE), False)
            predictions = final.softmax(1).argmax(1).cpu().numpy()
        confusion += confusion_of(labels, predictions, settings.NUM_CLASSES)

    return Prepared(run, {"memory_format": memory_format})


def confusion_of(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts int64 `[C, C]`, row = label, column = prediction, computed as in the official code."""
    counted = (labels >= 0) & (labels < num_classes)
    cells = num_classes * labels[counted] + predictions[counted]
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)
