"""How images enter a network, against the figures of the codes that trained the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.models import DeepLabV2, ImageClassifier, ResNet
from msl_jax.models.inputs import CAFFE, TORCHVISION, InputConvention, network_input

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)


class Network(NamedTuple):
    input_convention: Any


def _by_hand(name: str) -> np.ndarray:
    exact = IMAGES.astype(np.float64)
    if name == "caffe":
        return exact[..., [2, 1, 0]] - [104.00698793, 116.66876762, 122.67891434]
    if name == "torchvision":
        return (exact / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return (exact - 127) / 128


LITE = InputConvention("lite", "RGB of -1 to 1", (127.0,) * 3, (128.0,) * 3)


@pytest.mark.parametrize("convention", [CAFFE, TORCHVISION, LITE], ids=lambda c: c.name)
def test_convention(convention: InputConvention) -> None:
    found = network_input(Network(convention), jnp.asarray(IMAGES))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, _by_hand(convention.name), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(convention.prepare(jnp.asarray(IMAGES[0])), found[0])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int32])
def test_images_that_may_be_ready_already_are_refused(dtype) -> None:
    with pytest.raises(ValueError, match=r"uint8 expected, 0 to 255, found (float|int)32"):
        network_input(Network(CAFFE), jnp.asarray(IMAGES).astype(dtype))


def test_images_that_are_ready_stay_as_they_are() -> None:
    images = jnp.asarray(IMAGES, jnp.bfloat16)
    assert network_input(Network(None), images) is images


def test_a_network_has_its_backbones_convention() -> None:
    for convention in (CAFFE, TORCHVISION, None):
        backbone = ResNet(14, 4, input_convention=convention)
        assert DeepLabV2(3, backbone).input_convention is convention
        assert ImageClassifier(3, backbone).input_convention is convention


def test_conventions_of_the_official_network_and_of_torchvisions() -> None:
    assert DeepLabV2(19).input_convention is CAFFE
    assert ImageClassifier(1000).input_convention is TORCHVISION
