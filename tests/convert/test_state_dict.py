"""State dicts to variables and back: lossless, and every array is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from msl_jax.convert import from_torch, to_torch
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.models.initial import initial_heads
from msl_jax.runtime.errors import UserError

from .public_files import classifier, official

StateDict = dict[str, np.ndarray]


def _assert_identical(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


def _backbone(state_dict: StateDict) -> StateDict:
    return {n: a for n, a in state_dict.items() if not n.startswith(("layer5", "layer6"))}


def _prefixed(prefix: str, state_dict: StateDict) -> StateDict:
    return {prefix + name: array for name, array in state_dict.items()}


class TestLossless:
    @pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
    def test_there_and_back(
        self, model: DeepLabV2, random_variables: Callable[..., Any], x64: bool
    ) -> None:
        with jax.enable_x64(x64):
            dtype = jnp.float64 if x64 else jnp.float32
            model = model.clone(backbone=model.backbone.clone(param_dtype=dtype))
            variables = random_variables(model)
            state_dict = to_torch(variables)
            assert {a.dtype for a in state_dict.values()} == {np.dtype(dtype), np.dtype(np.int64)}
            _assert_identical(from_torch(state_dict, model), variables)

    def test_back_and_there(self, model: DeepLabV2, state_dict: StateDict) -> None:
        again = to_torch(from_torch(state_dict, model))
        assert list(again) == list(state_dict)
        for name, array in again.items():
            np.testing.assert_array_equal(array, state_dict[name], strict=True)

    def test_names_and_shapes_are_the_official_ones(self, state_dict: StateDict) -> None:
        shapes = {name: array.shape for name, array in state_dict.items()}
        assert shapes == official(14, 4, 3)

    def test_only_the_backbone(self, variables: Any) -> None:
        variables["params"] = {"backbone": variables["params"]["backbone"]}
        state_dict = to_torch(variables)
        assert set(state_dict) == {n for n in official(14, 4) if n[:6] not in ("layer5", "layer6")}

    @pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
    def test_half_precision_is_widened(
        self, model: DeepLabV2, state_dict: StateDict, dtype: Any
    ) -> None:
        half = {n: a.astype(dtype) if a.dtype == np.float32 else a for n, a in state_dict.items()}
        found = from_torch(half, model)["params"]["backbone"]["bn1"]["scale"]
        expected = half["bn1.weight"].astype(np.float32)
        np.testing.assert_array_equal(np.asarray(found), expected, strict=True)


class TestLayouts:
    """Which array goes where, for each kind of file."""

    @pytest.mark.parametrize("prefix", ["", "module.", "Scale.", "module.Scale."])
    def test_prefix(
        self, model: DeepLabV2, variables: Any, state_dict: StateDict, prefix: str
    ) -> None:
        found = from_torch(_prefixed(prefix, _backbone(state_dict)), model)
        _assert_identical(found["params"]["backbone"], variables["params"]["backbone"])
        _assert_identical(found["batch_stats"], variables["batch_stats"])

    def test_without_counters(
        self, model: DeepLabV2, variables: Any, state_dict: StateDict
    ) -> None:
        without = {n: a for n, a in state_dict.items() if "num_batches" not in n}
        _assert_identical(from_torch(without, model), variables)

    def test_classifier_of_imagenet_is_left_out(
        self, model: DeepLabV2, state_dict: StateDict
    ) -> None:
        fc = {name: np.ones(shape, np.float32) for name, shape in classifier(4).items()}
        found = from_torch(_backbone(state_dict) | fc, model)
        _assert_identical(found, from_torch(_backbone(state_dict), model))

    def test_old_classifier_of_the_deeplab_initialisation_is_left_out(
        self, model: DeepLabV2, state_dict: StateDict
    ) -> None:
        old = {"layer5.conv2d_list.0.weight": np.full((21, 128, 3, 3), np.nan, np.float32)}
        found = from_torch(_prefixed("Scale.", _backbone(state_dict) | old), model)
        _assert_identical(found, from_torch(_backbone(state_dict), model))

    def test_single_level_classifier_becomes_the_final_head(
        self, model: DeepLabV2, variables: Any, state_dict: StateDict
    ) -> None:
        single = _backbone(state_dict) | {
            name.replace("layer6", "layer5"): array
            for name, array in state_dict.items()
            if name.startswith("layer6")
        }
        params = from_torch(single, model)["params"]
        _assert_identical(params["final_head"], variables["params"]["final_head"])
        assert np.std(params["low_head"]["conv0"]["kernel"]) == pytest.approx(0.01, rel=0.2)


class TestHeadsThatAreDrawn:
    def test_depend_on_the_seed_alone(
        self, model: DeepLabV2, variables: Any, state_dict: StateDict
    ) -> None:
        missing = from_torch(_backbone(state_dict), model, seed=1)["params"]
        drawn = from_torch(state_dict, model, reinit_heads=True, seed=1)
        _assert_identical(missing, drawn["params"])
        _assert_identical(missing["backbone"], variables["params"]["backbone"])
        other = from_torch(state_dict, model, reinit_heads=True, seed=2)["params"]
        for name in ("low_head", "final_head"):
            kernels = [tree[name]["conv0"]["kernel"] for tree in (missing, other)]
            assert not np.array_equal(*kernels)

    def test_of_another_class_count(self, model: DeepLabV2, state_dict: StateDict) -> None:
        found = from_torch(state_dict, model.clone(num_classes=7), reinit_heads=True)
        assert found["params"]["low_head"]["conv0"]["kernel"].shape == (3, 3, 64, 7)


class TestAccounting:
    """One error lists all that is missing, left over or of another shape."""

    def test_all_in_one_error(self, model: DeepLabV2, state_dict: StateDict) -> None:
        del state_dict["layer2.0.conv2.weight"]
        del state_dict["layer6.conv2d_list.3.bias"]
        state_dict["layer7.weight"] = np.zeros((2, 3), np.float32)
        state_dict["layer4.0.bn9.num_batches_tracked"] = np.zeros((), np.int64)  # without its norm
        state_dict["bn1.bias"] = np.zeros(5, np.float32)
        with pytest.raises(UserError) as caught:
            from_torch(state_dict, model)
        assert str(caught.value).splitlines() == [
            "DeepLabv2 ResNet-14 of width 4 with two heads (official, AdaptSegNet, ADVENT) with 3"
            " classes does not fit the network: ResNet-14 of width 4, 3 classes, heads of 4"
            " convolutions.",
            "  missing (2):",
            "    layer2.0.conv2.weight 8x8x3x3",
            "    layer6.conv2d_list.3.bias 3",
            "  left over (2):",
            "    layer7.weight 2x3",
            "    layer4.0.bn9.num_batches_tracked scalar",
            "  of another shape (1):",
            "    bn1.bias: expected 4, found 5",
            "It is a checkpoint of another network.",
        ]

    @pytest.mark.parametrize(
        ("keys", "advice"),
        [
            ({"backbone": ResNet(26, 4)}, "To use it all the same, set --config.model.depth=14."),
            (
                {"backbone": ResNet(14, 8), "num_classes": 5},
                "set --config.model.width=4, --config.reinit_heads=true to train new heads.",
            ),
            (
                {"aspp_dilations": (6,), "active_dilations": (6,)},
                "4 dilations (--config.model.aspp_dilations, convert: --active_dilations).",
            ),
        ],
    )
    def test_advice(
        self, model: DeepLabV2, state_dict: StateDict, keys: dict[str, Any], advice: str
    ) -> None:
        with pytest.raises(UserError) as caught:
            from_torch(state_dict, model.clone(**keys))
        assert str(caught.value).endswith(advice)

    def test_numbers_that_are_none(self, model: DeepLabV2, state_dict: StateDict) -> None:
        state_dict["bn1.weight"] = np.full(4, np.nan, np.float32)
        state_dict["bn1.running_var"] = np.full(4, np.inf, np.float32)
        state_dict["bn1.bias"] = np.zeros(4, np.int8)  # quantised
        with pytest.raises(UserError, match=r"numbers \(3\): bn1\.running_var, bn1\.bias, "):
            from_torch(state_dict, model)

    def test_heads_that_are_drawn_anew_may_be_anything(
        self, model: DeepLabV2, state_dict: StateDict
    ) -> None:
        expected = from_torch(state_dict, model)["params"]["backbone"]
        state_dict["layer5.conv2d_list.0.weight"] = np.full((9, 1, 1, 1), np.nan, np.float32)
        params = from_torch(state_dict, model, reinit_heads=True, seed=3)["params"]
        _assert_identical(params.pop("backbone"), expected)
        _assert_identical(params, initial_heads(model, seed=3))
        other = initial_heads(model, seed=0)
        assert not np.array_equal(
            params["final_head"]["conv0"]["kernel"], other["final_head"]["conv0"]["kernel"]
        )
