"""What the weights and the preset decide where a configuration leaves a key open."""

from __future__ import annotations

import dataclasses
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from absl import flags
from ml_collections import config_flags
from ml_collections.config_dict import ConfigDict

from msl_jax.config import IN_ROUNDS, SELF_TRAINING, VARIANTS, base_config
from msl_jax.config.keys import as_json, check_config
from msl_jax.config.presets import complete, from_json, restored
from msl_jax.convert import NetworkSpec
from msl_jax.runtime.errors import UserError

CONFIGS = Path(__file__).parent.parent / "configs"

OFFICIAL = NetworkSpec(
    {
        **{"network": "deeplab", "backbone": "resnet", "depth": 101, "width": 64},
        **{"stride_placement": "caffe", "aspp_dilations": (6, 12, 18, 24)},
        "active_dilations": (6, 12),
    },
    19,
    "caffe",
)
IMAGENET = NetworkSpec(
    {"backbone": "resnet", "depth": 50, "width": 64, "stride_placement": "torchvision"},
    None,
    "torchvision",
)


def _config(preset: str = "official", *, variant: str = "max_square", **keys: Any) -> ConfigDict:
    config = base_config("x", variant)
    config.update_from_flattened_dict({"preset": preset, **keys})
    return config


def _values(config: Any) -> list[Any]:
    if isinstance(config, ConfigDict):
        return [leaf for value in config.values() for leaf in _values(value)]
    return [config]


@pytest.mark.parametrize("preset", ["official", "paper"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_key_is_decided(preset: str, variant: str) -> None:
    config = complete(_config(preset, variant=variant, source_size=(512, 1024)))
    assert None not in _values(config)
    check_config(config)
    assert config.is_locked


# In ../shared/facts/official_code.md and docs/reproducing.md: what the official code does, and what
# the paper's text says.
DIFFERENCES = {
    "normalization": ("official", "paper"),
    "guidance_rule": ("official", "paper"),
    "model.active_dilations": ((6, 12), (6, 12, 18, 24)),
    "repeated_visits": (True, False),
    "lambda_source_low": (0.1, 0.0),
    "source_steps": (80_000, 70_000),
    "source_poly_steps": (200_000, 70_000),
    "poly_steps": (29_760, 29_750),
}


def test_presets_differ_in_these_keys() -> None:
    flat: list[dict[str, Any]] = []
    for preset in ("official", "paper"):
        values = complete(_config(preset)).to_dict()
        del values["preset"]
        values |= {f"model.{key}": value for key, value in values.pop("model").items()}
        flat.append(values)
    found = {key: (a, flat[1][key]) for key, a in flat[0].items() if a != flat[1][key]}
    assert found == DIFFERENCES


@pytest.mark.parametrize("preset", ["official", "paper"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_lambda_of_the_official_recipe_of_multi(preset: str, variant: str) -> None:
    lower = ("target_statistics_multi", "max_square_multi", "max_square_iw_multi")
    expected = 0.09 if preset == "official" and variant in lower else 0.1
    assert complete(_config(preset, variant=variant)).lambda_target == expected


@pytest.mark.parametrize(
    ("given", "source", "adapt"),
    [
        ({}, (80_000, 200_000), (29_750, 29_760)),
        ({"steps": 29_750}, (80_000, 200_000), (29_750, 29_750)),
        ({"source_steps": 100}, (100, 100), (29_750, 29_760)),
        ({"source_steps": 100, "source_poly_steps": 300}, (100, 300), (29_750, 29_760)),
        ({"steps": 7, "poly_steps": 9}, (80_000, 200_000), (7, 9)),
        ({"poly_steps": 50_000}, (80_000, 200_000), (29_750, 50_000)),
    ],
)
def test_schedule_ends_with_steps_that_are_given(
    given: dict[str, int], source: tuple[int, int], adapt: tuple[int, int]
) -> None:
    config = complete(_config(**given))
    assert (config.source_steps, config.source_poly_steps) == source
    assert (config.steps, config.poly_steps) == adapt


@pytest.mark.parametrize("key", DIFFERENCES)
def test_a_key_that_is_set_wins(key: str) -> None:
    official, paper = DIFFERENCES[key]
    config = complete(_config("official", **{key: paper}))
    value: Any = config
    for part in key.split("."):
        value = value[part]
    assert value == paper != official


def test_configuration_is_left_as_it_was() -> None:
    config = _config()
    before = as_json(config)
    complete(config, OFFICIAL, "weights.pth")
    assert as_json(config) == before


def test_completing_twice_changes_nothing() -> None:
    once = complete(_config("paper"), OFFICIAL, "weights.pth")
    assert as_json(complete(once)) == as_json(once)


def test_unknown_preset() -> None:
    with pytest.raises(UserError, match="expected one of official, paper, found 'x'"):
        complete(_config("x"))


def test_unknown_variant_is_left_to_the_check() -> None:
    config = _config()
    config.variant = "nothing"
    with pytest.raises(UserError, match="variant: expected one of 'source'"):
        check_config(complete(config))


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_recipes_of_methods_that_train_on_both_domains_from_the_start(preset: str) -> None:
    """No source-only stage; the schedule ends beyond the steps that are made."""
    adaptsegnet = {"steps": 150_000, "poly_steps": 250_000, "source_steps": 0}
    advent = {**adaptsegnet, "steps": 120_000}
    for variant, recipe in {
        "adaptsegnet": adaptsegnet,
        "adaptsegnet_single": adaptsegnet,
        "advent": advent,
        "minent_advent": advent,
    }.items():
        config = complete(_config(preset, variant=variant))
        assert {key: config[key] for key in recipe} == recipe, variant
        assert config.lambda_source_low == 0.1
        all_rates = recipe is advent or preset == "paper"
        assert config.model.active_dilations == ((6, 12, 18, 24) if all_rates else (6, 12))
    assert complete(_config(preset, variant="advent", source_steps=7)).source_steps == 7


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_recipe_of_dacs(preset: str) -> None:
    for variant in ("dacs", "mic"):
        config = complete(_config(preset, variant=variant))
        assert (config.source_steps, config.steps, config.poly_steps) == (0, 250_000, 250_000)
        assert config.model.active_dilations == (6, 12, 18, 24)
    config = complete(_config(preset, variant="self_training"))
    source_steps = 80_000 if preset == "official" else 70_000
    assert (config.source_steps, config.steps) == (source_steps, 29_750)


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_recipe_of_rounds(preset: str) -> None:
    """CRST's steps at a constant rate; a configuration's own steps have a schedule of their own."""
    for variant in IN_ROUNDS:
        config = complete(_config(preset, variant=variant))
        assert (config.source_steps, config.steps, config.poly_steps) == (
            *(100_000, 3_462),
            2**31 - 1,
        )
        assert config.model.active_dilations == (6, 12, 18, 24)
        assert complete(_config(preset, variant=variant, steps=9)).poly_steps == 9
        check_config(config)


@pytest.mark.parametrize("variant", SELF_TRAINING)
def test_images_that_are_mixed_have_one_size(variant: str) -> None:
    message = r"target_augmentation\.crop: expected .* \(720, 1280\), .* found \(512, 1024\)"
    with pytest.raises(UserError, match=message):
        check_config(complete(_config(variant=variant)))
    config = _config(variant=variant)
    for domain in ("source", "target"):
        config[f"{domain}_augmentation"].crop = (512, 512)
    check_config(complete(config))
    config.target_augmentation.crop = (512, 640)
    with pytest.raises(UserError, match=r"expected .* \(512, 512\), .* found \(512, 640\)"):
        check_config(complete(config))


def test_recipe_gives_way_to_the_weights() -> None:
    config = complete(_config(variant="advent"), OFFICIAL, "x")
    assert config.model.active_dilations == (6, 12)


@pytest.mark.parametrize("variant", ["source", "oracle"])
def test_what_trains_in_the_first_stage_alone_needs_it(variant: str) -> None:
    with pytest.raises(UserError, match="source_steps: expected at least 1, found 0"):
        check_config(complete(_config(variant=variant, source_steps=0)))
    check_config(complete(_config(variant="max_square", source_steps=0)))


def test_shrunk_run_makes_no_more_steps_than_the_whole_one() -> None:
    config = complete(_config(variant="advent", shrink=True, steps=5, eval_every=3))
    assert (config.source_steps, config.steps, config.poly_steps, config.eval_every) == (0, 5, 5, 3)
    config = complete(_config(shrink=True))
    assert (config.source_steps, config.steps, config.poly_steps, config.eval_every) == (
        *(20, 20, 20, 10),
    )


@pytest.mark.parametrize(("given", "shrunk"), [(100, 2), (1, 1), (0, 0)])
def test_shrunk_run_warms_up_within_its_steps(given: int, shrunk: int) -> None:
    config = complete(_config(shrink=True, warmup_steps=given))
    assert config.warmup_steps == shrunk
    check_config(config)


# Weights.


@pytest.mark.parametrize(
    ("network", "stride", "entering"),
    [
        (None, "caffe", "torchvision"),
        (OFFICIAL, "caffe", "caffe"),
        (IMAGENET, *["torchvision"] * 2),
    ],
)
def test_conventions(network: NetworkSpec | None, stride: str, entering: str) -> None:
    keys = {"model.depth": 50} if network is IMAGENET else {}
    config = complete(_config(**keys), network, "weights.pth")
    assert (config.model.stride_placement, config.input_convention) == (stride, entering)


def test_rates_that_were_never_trained_stay_out() -> None:
    """A file does not tell which rates its heads sum; those of the official code sum two."""
    model = {key: value for key, value in OFFICIAL.model.items() if key != "active_dilations"}
    file = dataclasses.replace(OFFICIAL, model=model)
    assert complete(_config("paper"), file, "x").model.active_dilations == (6, 12)
    given = _config("paper", **{"model.active_dilations": (6, 12, 18, 24)})
    assert complete(given, file, "x").model.active_dilations == (6, 12, 18, 24)


def test_weights_come_before_the_preset() -> None:
    assert complete(_config("paper"), OFFICIAL, "x").model.active_dilations == (6, 12)
    assert complete(_config("paper"), OFFICIAL.without_heads(), "x").model.active_dilations != (
        6,
        12,
    )


def test_all_contradictions_in_one_error() -> None:
    keys = {
        "num_classes": 16,
        "model.depth": 50,
        "model.width": 32,
        "model.stride_placement": "torchvision",
        "model.aspp_dilations": (6, 12),
        "model.active_dilations": (6,),
        "input_convention": "torchvision",
    }
    with pytest.raises(UserError) as caught:
        complete(_config(**keys), OFFICIAL, "config.init_from=weights.pth (official)")
    head, *lines, advice = str(caught.value).splitlines()
    assert head.startswith("config.init_from=weights.pth (official): these weights do not fit")
    assert sorted(lines) == [
        "  config.input_convention is 'torchvision', the weights need 'caffe'",
        "  config.model.active_dilations is (6,), the weights need (6, 12)",
        "  config.model.aspp_dilations is (6, 12), the weights need (6, 12, 18, 24)",
        "  config.model.depth is 50, the weights need 101",
        "  config.model.stride_placement is 'torchvision', the weights need 'caffe'",
        "  config.model.width is 32, the weights need 64",
        "  config.num_classes is 16, the weights need 19",
    ]
    assert "--config.reinit_heads=true" in advice
    assert "msl-jax convert" in advice


# Flags: keys without a value have a type all the same.


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ConfigDict]:
    """Function that gives the configuration of `train.py --config configs/gta5.py:source KEY`."""

    def run(argument: str) -> ConfigDict:
        argv = ["train.py", f"--config={CONFIGS / 'gta5.py'}:source", argument]
        monkeypatch.setattr(sys, "argv", argv)  # where ml_collections looks for keys
        values = flags.FlagValues()
        config = config_flags.DEFINE_config_file("config", None, flag_values=values)
        values(argv)
        return config.value

    return run


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        ("steps=7", "steps", 7),
        ("source_poly_steps=90_000", "source_poly_steps", 90_000),
        ("lambda_target=0.25", "lambda_target", 0.25),
        ("lambda_target=1", "lambda_target", 1.0),
        ("repeated_visits=false", "repeated_visits", False),
        ("normalization=paper", "normalization", "paper"),
        ("input_convention=caffe", "input_convention", "caffe"),
        ("model.stride_placement=torchvision", "model.stride_placement", "torchvision"),
        ("model.active_dilations=(6,12,18,24)", "model.active_dilations", (6, 12, 18, 24)),
        ("model.active_dilations=(6,)", "model.active_dilations", (6,)),
    ],
)
def test_open_key_on_the_command_line(
    parse: Callable[[str], ConfigDict], argument: str, key: str, value: Any
) -> None:
    config = complete(parse(f"--config.{argument}"))
    found = json.loads(as_json(config))
    for part in key.split("."):
        found = found[part]
    assert found == json.loads(json.dumps(value))
    assert type(found) is type(json.loads(json.dumps(value)))
    check_config(config)


@pytest.mark.parametrize("argument", ["steps=many", "steps=1.5", "repeated_visits=perhaps"])
def test_wrong_type_on_the_command_line(parse: Callable[[str], ConfigDict], argument: str) -> None:
    with pytest.raises((flags.Error, ValueError, TypeError)):
        parse(f"--config.{argument}")


@pytest.mark.parametrize("name", ["gta5", "synthia"])
def test_experiments_of_the_paper_leave_the_recipe_to_the_preset(name: str) -> None:
    config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"]("max_square")
    open_keys = ["steps", "lambda_target", "normalization", "input_convention", "repeated_visits"]
    assert [config[key] for key in open_keys] == [None] * len(open_keys)


def test_restored_configuration_has_new_keys_at_their_defaults() -> None:
    config = complete(_config("paper", **{"model.width": 8, "scales": (0.5, 1.0)}))
    saved = json.loads(as_json(config))
    assert restored(saved, "x").to_dict() == config.to_dict()
    for key in ("accumulate", "lambda_source_low"):  # of the base, of the preset
        del saved[key]
    del saved["model"]["active_dilations"], saved["target_augmentation"]["jitter"]
    assert restored(saved, "x").to_dict() == config.to_dict()


def test_what_was_given_keeps_its_open_keys() -> None:
    config = _config("paper", **{"momentum": 0.5, "target_augmentation.crop": (16, 24)})
    saved = json.loads(as_json(config))
    assert saved["lambda_target"] is None
    assert from_json(saved, "x").to_dict() == config.to_dict()
    for key in ("accumulate", "lambda_target"):
        del saved[key]
    assert from_json(saved, "x").to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"height": 3}}, "run/config.json has keys .* not know: model.height"),
        ({"variant": "no"}, "unknown variant 'no'"),
        (
            {"task": "no"},
            "run/config.json: task: expected one of segmentation, classification, found",
        ),
    ],
)
def test_configuration_that_cannot_be_restored(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        restored({**json.loads(as_json(_config())), **change}, "run/config.json")


@pytest.mark.parametrize("values", [{}, [], None, {"name": "x"}])
def test_file_that_holds_no_configuration(values: Any) -> None:
    with pytest.raises(UserError, match=r"run/config\.json is not a run's configuration: it lacks"):
        restored(values, "run/config.json")


def test_crops_shrink_with_their_images() -> None:
    crop = {"target_augmentation.crop": (180, 240)}
    config = complete(_config(shrink=True, target_size=(270, 360), **crop))
    assert (config.target_size, config.target_augmentation.crop) == ((33, 45), (22, 30))
    assert config.source_augmentation.crop == ()
