"""The table of memory by option, for a network that compiles in seconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import jax
import pytest

from benchmarks import memory
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.models.initial import abstract_variables

TINY = ["--source_size=32,48", "--target_size=24,32", "--depth=14", "--width=4"]


@pytest.fixture(autouse=True)
def quick_compilation() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys):
    """Returns a function that runs the command for some options and returns what it prints."""

    def run(options: dict, *arguments: str) -> str:
        monkeypatch.setattr(memory, "OPTIONS", options)
        monkeypatch.setattr(sys, "argv", ["memory", *TINY, *arguments])
        memory.main()
        return capsys.readouterr().out

    return run


def test_json(printed) -> None:
    found = json.loads(printed({"small": {"batch_size": 2}}))
    assert (found["benchmark"], found["platform"]) == ("memory", "cpu")
    assert found["sizes"]["source_size"] == [32, 48]
    (option,) = found["options"].values()
    examples = 2 * (32 * 48 * 4 + 24 * 32 * 3)  # images and labels, one byte per value
    parameters = jax.tree.leaves(abstract_variables(DeepLabV2(19, ResNet(14, 4)))["params"])
    assert option["arguments_mb"] > (examples + 4 * sum(p.size for p in parameters)) / 1e6
    assert option["temporaries_mb"] > 0.1
    both = option["arguments_mb"] + option["temporaries_mb"]
    assert option["total_mb"] == pytest.approx(both, rel=1e-2)


def test_table(printed) -> None:
    lines = printed({"small": {"batch_size": 2}}, "--markdown").splitlines()
    assert lines[0] == "| | arguments | temporaries | total | kept |"
    assert lines[2].startswith("| small | ")


def test_what_the_options_keep_for_the_gradient() -> None:
    size = {"source_size": (64, 96), "target_size": (64, 96)}
    keys = {**size, "model.depth": 26, "model.width": 8}

    def kept(changed: dict) -> int:
        config = memory.base_config("memory", "max_square_iw_multi")
        config.update_from_flattened_dict({**keys, **changed})
        state, batch, training = memory.abstract_step(memory.presets.complete(config))
        parameters = sum(leaf.size * 4 for leaf in jax.tree.leaves(state.params))
        found = memory.kept_bytes(training.passes[0], state, batch, config.accumulate)
        return found - parameters

    plain = kept({})
    assert kept({"compute_dtype": "bfloat16"}) < 0.6 * plain
    assert kept({"rematerialize": True}) < 0.5 * plain
    assert kept({"batch_size": 2, "accumulate": 2}) == kept({"batch_size": 2}) > 1.9 * plain


def test_accumulation_needs_the_memory_of_one_micro_batch() -> None:
    size = {"source_size": (64, 96), "target_size": (64, 96)}
    keys = {**size, "model.depth": 14, "model.width": 4}
    accumulated, batch = (
        memory.measure({**keys, **changed})["temporaries_mb"]
        for changed in ({"accumulate": 4}, {"batch_size": 4})
    )
    assert accumulated < 0.5 * batch


def test_options_are_keys_of_the_configuration() -> None:
    config = memory.base_config("memory")
    for keys in memory.OPTIONS.values():
        config.update_from_flattened_dict(keys)
    assert memory.OPTIONS["default"] == {}
