"""The network's arrays are found beside what else a training has saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from msl_jax.runtime.errors import UserError
from msl_jax.weights.wrapped import state_dict_in

from .public_files import Shapes, official, prefixed, resnet

StateDict = dict[str, np.ndarray]


def _arrays(shapes: Shapes) -> StateDict:
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


NETWORK = _arrays(official(14, 4, 3))
OTHER = {"features.0.weight": np.zeros((2, 3)), "features.0.bias": np.zeros(2)}
BESIDE = {"epoch": 3, "best": 0.4, "args": {"lr": 0.1, "names": ["a"]}, "note": None}


@pytest.mark.parametrize("key", ["state_dict", "model", "net", "model_state_dict", "student", "x"])
def test_under_any_key(key: str) -> None:
    found, keys = state_dict_in({**BESIDE, key: NETWORK})
    assert found is NETWORK
    assert keys == (key,)


def test_alone() -> None:
    assert state_dict_in(NETWORK) == (NETWORK, ())


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.backbone."])
def test_names_may_have_prefixes(prefix: str) -> None:
    content = {"model": _arrays(prefixed(prefix, resnet(14, 4))), "discriminator": OTHER}
    assert state_dict_in(content)[1] == ("model",)


def test_two_levels() -> None:
    found, keys = state_dict_in({"checkpoint": {**BESIDE, "model": NETWORK}, "version": 2})
    assert found is NETWORK
    assert keys == ("checkpoint", "model")


def test_optimizer_is_no_network() -> None:
    """Its averages are arrays by name too, but under numbers."""
    state = {0: {"exp_avg": np.zeros(3), "exp_avg_sq": np.zeros(3)}}
    content = {"optimizer": {"state": state, "param_groups": [{"lr": 0.1}]}, "model": OTHER}
    assert state_dict_in(content) == (OTHER, ("model",))


def test_state_of_random_numbers_is_no_network() -> None:
    content = {"rng_state": np.zeros(8, np.uint8), "epoch": 3, "net": NETWORK}
    assert state_dict_in(content) == (NETWORK, ("net",))


def test_one_network_among_others() -> None:
    assert state_dict_in({"D": OTHER, "G": NETWORK}) == (NETWORK, ("G",))


def test_the_same_dictionary_twice_is_one() -> None:
    assert state_dict_in({"model": NETWORK, "network": NETWORK})[1] == ("model",)


def test_network_of_another_kind_is_left_to_whom_it_concerns() -> None:
    """Which says what it expected."""
    assert state_dict_in({"state_dict": OTHER, **BESIDE}) == (OTHER, ("state_dict",))


@pytest.mark.parametrize(
    ("content", "choices"),
    [
        ({"model": NETWORK, "ema": dict(NETWORK), "D": OTHER}, "in 2 places, under 'model', 'ema'"),
        ({"a": {"student": NETWORK, "teacher": dict(NETWORK)}}, "'a' 'student', 'a' 'teacher'"),
        ({"model": OTHER, "ema": dict(OTHER)}, "in 2 places, under 'model', 'ema'; expected one"),
        ({f"n{i}": dict(OTHER) for i in range(12)}, "in 12 places, .*'n9' and 2 more; expected"),
    ],
)
def test_choices_are_listed(content: Any, choices: str) -> None:
    with pytest.raises(UserError, match=rf"{choices}.* save the one that you mean alone"):
        state_dict_in(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "found NoneType"),
        ([NETWORK], "found list"),
        ({}, r"found dict with the keys \[\]"),
        (BESIDE, r"found dict with the keys \['epoch', 'best', 'args', 'note'\]"),
        ({"a": {"b": {"c": {"d": NETWORK}}}}, r"found dict with the keys \['a'\]"),
        ({0: NETWORK}, r"found dict with the keys \['0'\]"),
        ({**OTHER, "epoch": 3}, "these are not arrays: epoch. Save the network's"),
        ({"model": {**OTHER, "epoch": 3}}, "these are not arrays: epoch. Save the network's"),
        ({**OTHER, 1: np.zeros(2)}, "these are not names: 1"),
        ({**OTHER, "a\n": np.zeros(2)}, r"these are not names: 'a\\n'"),
        ({"\x1b[31m": 1}, r"the keys \[.*x1b\[31m"),
    ],
)
def test_refused(content: Any, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        state_dict_in(content)
    assert str(caught.value).isprintable()


def test_large_loops_take_no_time() -> None:
    loop: dict[str, Any] = {}
    loop |= {f"a{i}": loop for i in range(1000)}
    wide = {f"b{i}": {f"c{j}": loop for j in range(100)} for i in range(100)}
    with pytest.raises(UserError, match="found dict"):
        state_dict_in(wide)
