"""Every variant has a method, and every method says what can be set of it."""

from __future__ import annotations

import math

import pytest

from msl_jax.config import base_config
from msl_jax.losses.pixelwise import TARGET_LOSSES
from msl_jax.losses.upsampled import HARD
from msl_jax.methods.method import Key
from msl_jax.methods.registry import METHODS, SOURCE_ONLY, keys_of, method_of
from msl_jax.methods.variants import VARIANTS_OF
from msl_jax.models import keys

VARIANTS = [(task, name) for task, variants in VARIANTS_OF.items() for name in variants]


@pytest.mark.parametrize(("task", "name"), VARIANTS)
def test_every_variant_has_a_method(task: str, name: str) -> None:
    config = base_config("x", name, task)
    variant = VARIANTS_OF[task][name]
    assert method_of(config, adapt=False) is SOURCE_ONLY[task]
    if variant.adapt:
        assert method_of(config, adapt=True) is METHODS[task][variant.method]
    assert set(config.method) == set(keys_of(name, task))
    if variant.method == "target_loss":
        assert variant.target_loss in ("none", HARD, *TARGET_LOSSES)


@pytest.mark.parametrize("task", METHODS)
def test_every_method_has_a_variant_and_valid_keys(task: str) -> None:
    named = {variant.method for variant in VARIANTS_OF[task].values()}
    assert named == set(METHODS[task])
    for method in METHODS[task].values():
        for key in method.KEYS.values():
            assert key.accepts(key.default)
            assert key.meaning


def test_keys_know_their_range() -> None:
    count = Key(3, "how many", low=1)
    assert [count.accepts(value) for value in (0, 1, 10**9)] == [False, True, True]
    assert count.expected == "at least 1"
    share = Key(0.5, "how much", low=0, high=1)
    assert [share.accepts(value) for value in (-0.1, 0, 1, 1.5, math.nan)] == [
        *(False, True, True, False, False)
    ]
    assert share.expected == "a number in [0, 1]"
    assert Key(1.0, "any").expected == "a finite number"
    assert Key(-1.0, "at the most", high=0).expected == "at most 0"
    word = Key("a", "which", choices=("a", "b"))
    assert [word.accepts(value) for value in ("a", "c")] == [True, False]
    assert word.expected == "one of 'a', 'b'"
    assert Key(True, "whether").accepts(False)
    assert [Key("x", "any").accepts(value) for value in ("", 1)] == [True, False]
    for key in (count, word, Key(True, "whether")):  # as those of networks
        assert isinstance(key, keys.Key)
        assert (key.kind, key.from_scratch) == (type(key.default), None)
