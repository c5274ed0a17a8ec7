"""PyTorch's side of the comparisons: what the official training and evaluation loops do, plainly.

Needs PyTorch, of the extra `convert`.
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
from benchmarks.support.torch_network import DeepLab, nchw
from benchmarks.support.work import MEMORY_FORMAT, Precision, TrainingWork

_FORMATS = {"channels_first": torch.contiguous_format, "channels_last": torch.channels_last}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# Pixels `[B, 3, H, W]`, and on the source labels int64 `[B, H, W]`, of each domain.
Batch = Mapping[str, Mapping[str, Tensor]]
# (images `[B, 3, H, W]`, whether the low head is wanted) -> logits of both heads.
Network = Callable[[Tensor, bool], tuple[Tensor, Tensor | None]]


class TrainingStep:
    """One step of the official loop: source, then target, then SGD on the sum of the gradients.

    Every parameter is visited once. The stem's norm is frozen; what has no gradient otherwise
    (convolutions of rates that are not summed, the low head of the source-only step) is skipped by
    SGD, as there.

    Args:
        network: trained in place, in train mode.
        adapt: with the target pass and both heads, else source labels on the final head alone.
        precision: see `work.PRECISIONS`.
        compiled: run the network by `torch.compile`.
    """

    def __init__(
        self,
        network: DeepLab,
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
        """Makes SGD's velocities, 0, which it would make in the first step; the steps are the same.

        Our state has them from the start: both sides are to begin with the same in memory.
        """
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                velocity = torch.empty_like(parameter).fill_(0)  # written, unlike those of calloc
                self._optimizer.state[parameter]["momentum_buffer"] = velocity

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Makes the step and returns the losses, each with its weight; a GPU may still be at it."""
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
    """The network as it runs in a precision; logits are float32."""

    def __init__(self, network: Callable[..., Any], precision: Precision) -> None:
        self._network = network
        self._mixed = precision == "bfloat16"
        torch.backends.cudnn.allow_tf32 = precision != "float32"
        torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
        # Tries cuDNN's algorithms in the first step, as XLA does when it compiles.
        torch.backends.cudnn.benchmark = True

    def __call__(self, images: Tensor, low_head: bool) -> tuple[Tensor, Tensor | None]:
        mixed = torch.autocast(DEVICE.type, torch.bfloat16) if self._mixed else None
        with mixed or contextlib.nullcontext():
            final, low = self._network(images, low_head)
        return final.float(), None if low is None else low.float()


def source_losses(
    network: Network, batch: Mapping[str, Tensor], *, both_heads: bool
) -> dict[str, Tensor]:
    """Cross entropy of the final head, and of the low head with its weight."""
    final, low = _full_size(network, batch["image"], both_heads)
    losses = {"source/final": _cross_entropy(final, batch["label"])}
    if low is not None:
        losses["source/low"] = settings.LAMBDA_LOW * _cross_entropy(low, batch["label"])
    return losses


def target_losses(network: Network, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """IW maximum squares of the final head and guidance of the low head, with their weights.

    As the official code normalises them; a batch has one image, as there.
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
    # The official mean over no pixels at all is NaN. Nothing here waits for the device.
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


def _network(depth: int, width: int, memory_format: str) -> DeepLab:
    """The random network on `DEVICE`, in this memory format; PyTorch uses all cores from here."""
    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    network = DeepLab(settings.NUM_CLASSES, depth, width).to(DEVICE)
    # Activations follow the weights' format from the first convolution on.
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=_FORMATS[memory_format])
    return network


def network_input(images: np.ndarray) -> Tensor:
    """Uint8 RGB `[B, H, W, 3]` -> float32 `[B, 3, H, W]` as the official loader gives them."""
    return nchw(images[..., ::-1].astype(np.float32) - settings.BGR_MEAN)


def training_batch(work: TrainingWork) -> Batch:
    """The random batch of our side, as the official loader would give it."""
    batch: dict[str, dict[str, Tensor]] = {}
    for domain, arrays in settings.training_batch(work).items():
        batch[domain] = {"image": network_input(arrays["image"][0]).to(DEVICE)}
        if "label" in arrays:
            labels = torch.from_numpy(arrays["label"][0].astype(np.int64))
            batch[domain]["label"] = labels.to(DEVICE)
    return batch


def training(
    *, memory_format: str = MEMORY_FORMAT, compiled: bool = False, **fields: Any
) -> Prepared:
    """The official training step on the GPU or all cores, on images that are floats already.

    Args:
        memory_format: of the network's activations, `"channels_first"` or `"channels_last"`.
        compiled: run the network by `torch.compile`.
        fields: of `TrainingWork`; neither variant nor rematerialisation is looked at.

    Returns:
        A round is one step.
    """
    work = TrainingWork.from_json(fields)
    network = _network(work.depth, work.width, memory_format)
    step = TrainingStep(
        network, adapt=work.part == "adapt", precision=work.precision, compiled=compiled
    )
    step.hold_velocities()
    batch = training_batch(work)
    before: dict[str, Tensor] = {}

    def run() -> None:
        # As our loop does: it waits for the losses of the step before.
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
) -> Prepared:
    """The official evaluation of one image on the GPU or all cores, which is floats already.

    Args:
        size: height, width.
        depth: layers of the network.
        width: channels of its stem.
        memory_format: of the network's activations, `"channels_first"` or `"channels_last"`.
        precision: see `work.PRECISIONS`.

    Returns:
        A round is one image.
    """
    network = _Forward(_network(depth, width, memory_format).eval(), precision)
    rng = np.random.default_rng(0)
    images = network_input(settings.random_images(rng, (1, *size)))
    labels = settings.random_labels(rng, (1, *size)).astype(np.int64)
    confusion = np.zeros((settings.NUM_CLASSES, settings.NUM_CLASSES), np.int64)

    def run() -> None:
        nonlocal confusion
        with torch.no_grad():
            final, _ = _full_size(network, images.to(DEVICE), False)
            predictions = final.softmax(1).argmax(1).cpu().numpy()
        confusion += confusion_of(labels, predictions, settings.NUM_CLASSES)

    return Prepared(run, {"memory_format": memory_format})


def confusion_of(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts int64 `[C, C]`, row = label, column = prediction, as the official code takes them."""
    counted = (labels >= 0) & (labels < num_classes)
    cells = num_classes * labels[counted] + predictions[counted]
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)
