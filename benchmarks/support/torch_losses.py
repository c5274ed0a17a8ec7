"""PyTorch's side of `benchmarks.losses`: a plain version of the official formulas.

Needs PyTorch, from the extra `convert`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.losses import inputs
from benchmarks.support.measuring import Prepared
from benchmarks.support.reporting import CORES
from benchmarks.support.torch_steps import DEVICE
from benchmarks.support.work import GUIDANCE_THRESHOLD, IGNORE, IW_ALPHA, LAMBDA_LOW


def of_heads(loss: str, heads: Sequence[Tensor], labels: Tensor) -> Tensor:
    """The loss of this name in `benchmarks.losses`, a scalar.

    Args:
        loss: its name.
        heads: small logits `[1, C, h, w]`; of both heads for `"guidance"`, else of the final one.
        labels: int64 `[1, H, W]`.
    """
    size = labels.shape[1:]
    final, *low = (
        functional.interpolate(head, size=size, mode="bilinear", align_corners=True)
        for head in heads
    )
    if loss == "ce":
        return functional.cross_entropy(final, labels, ignore_index=IGNORE)
    p = functional.softmax(final, dim=1)
    if loss == "max_square":
        return -torch.mean(p.pow(2)) / 2
    if loss == "max_square_iw":
        return _image_wise_squares(p)
    if loss == "entropy":
        return -torch.mean(p * functional.log_softmax(final, dim=1))
    if loss == "entropy_iw":
        log_p = functional.log_softmax(final, dim=1)
        return -torch.sum(p * log_p * _weights(p)) / p.shape[1]
    return _image_wise_squares(p) + LAMBDA_LOW * _guidance(p, low[0])


def _image_wise_squares(p: Tensor) -> Tensor:
    return -torch.sum(p.pow(2) * _weights(p)) / p.shape[1]


@torch.no_grad()
def _weights(p: Tensor) -> Tensor:
    """Image-wise weights `[H, W]` of the only image."""
    num_classes = p.shape[1]
    winner = p[0].argmax(dim=0)
    counts = torch.histc(winner.float(), bins=num_classes + 1, min=-1, max=num_classes - 1)[1:]
    denominator = counts.pow(IW_ALPHA) * counts.sum().pow(1 - IW_ALPHA)
    return (1 / torch.clamp(denominator, min=1))[winner]


def _guidance(p_final: Tensor, low: Tensor) -> Tensor:
    with torch.no_grad():
        p_final, p_low = p_final.detach(), functional.softmax(low, dim=1)
        labels = ((p_final + p_low) / 2).argmax(dim=1)
        sure = torch.maximum(p_final.amax(dim=1), p_low.amax(dim=1)) > GUIDANCE_THRESHOLD
        labels[~sure] = IGNORE
    return functional.cross_entropy(low, labels, ignore_index=IGNORE)


def value_and_gradient(*, loss: str, size: Sequence[int]) -> Prepared:
    """A round is the value of the loss, and its gradient with respect to the small logits."""
    torch.set_num_threads(CORES)
    final, low, labels = (torch.from_numpy(array).to(DEVICE) for array in inputs(size))
    used = (final, low) if loss == "guidance" else (final,)
    heads = [head.permute(0, 3, 1, 2).contiguous().requires_grad_() for head in used]
    labels = labels.long()

    def run() -> tuple[Tensor, ...]:
        value = of_heads(loss, heads, labels)
        return (value.detach(), *torch.autograd.grad(value, heads))

    return Prepared(run)
