"""What the comparisons of single layers with PyTorch share."""

from __future__ import annotations

import numpy as np
import pytest


class AgainstPyTorch:
    """Tests that compute the same with PyTorch's own functions, in float64."""

    @pytest.fixture(autouse=True)
    def _precision(self, x64):
        self.torch = pytest.importorskip("torch")

    def _tensor(self, x: np.ndarray, *, gradient: bool = False):
        """`[B, H, W, C]` -> `[B, C, H, W]`, and `[kh, kw, C, K]` -> `[K, C, kh, kw]` alike."""
        return self.torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=gradient)

    @staticmethod
    def _array(tensor) -> np.ndarray:
        return tensor.detach().numpy().transpose(0, 2, 3, 1)
