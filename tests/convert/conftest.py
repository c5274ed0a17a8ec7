from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from msl_jax.convert import to_torch
from msl_jax.models import DeepLabV2, ResNet


@pytest.fixture
def model() -> DeepLabV2:
    """The official network but for its size."""
    return DeepLabV2(num_classes=3, backbone=ResNet(14, 4))


@pytest.fixture
def variables(model: DeepLabV2, random_variables: Callable[..., Any]) -> Any:
    return random_variables(model)


@pytest.fixture
def state_dict(variables: Any) -> dict[str, np.ndarray]:
    return to_torch(variables)
