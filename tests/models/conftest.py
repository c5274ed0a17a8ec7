"""What the tests of the network share."""

from __future__ import annotations

import jax
import numpy as np
import pytest


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
