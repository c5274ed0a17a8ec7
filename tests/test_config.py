"""The configurations, their check, and how two of them are compared."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from msl_jax.config import DEFAULT_VARIANT, SELF_TRAINING, VARIANTS, base_config, keys, presets
from msl_jax.config.keys import as_json, check_config, flat
from msl_jax.config.presets import complete
from msl_jax.config.table import AUGMENTATION, KEYS
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.methods.registry import keys_of
from msl_jax.methods.segmentation import objective
from msl_jax.runtime.errors import UserError

CONFIGS = Path(__file__).parent.parent / "configs"


def _complete_config(variant: str = DEFAULT_VARIANT):
    return complete(base_config("x", variant))


each_config = pytest.mark.parametrize("name", ["demo", "camvid"])


def _get_config(name: str, *arguments: str):
    spec = importlib.util.spec_from_file_location(f"configs_{name}", CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*arguments)


@each_config
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_valid(name, variant):
    config = complete(_get_config(name, variant))
    check_config(config)
    assert (config.name, config.variant) == (name, variant)
    assert config.num_classes == LABEL_SETS[name].num_classes
    for key in ("source_train", "target_train", "source_eval", "target_eval"):
        assert config[key].startswith(f"{name}/")
    assert json.loads(as_json(config))["variant"] == variant


@each_config
def test_default_variant(name):
    assert _get_config(name).variant == DEFAULT_VARIANT


@each_config
def test_variants_differ_in_nothing_else(name):
    """Rows of a table are comparable."""
    default = json.loads(as_json(_get_config(name)))
    for variant in VARIANTS:
        found = json.loads(as_json(_get_config(name, variant)))
        slow = name == "camvid" and variant in SELF_TRAINING  # of a pretrained network
        expected = {**default, **({"steps": 600, "learning_rate": 3e-5} if slow else {})}
        assert {**found, "variant": DEFAULT_VARIANT, "method": {}} == expected
        assert set(found["method"]) == set(keys_of(variant, "segmentation"))


# What begins with weights of ImageNet is trained alike everywhere.
PRETRAINED = (
    *("init_from", "model.backbone", "model.joined", "head_rate_multiplier"),
    *("source_frozen_batch_norm", "frozen_batch_norm", "optimizer", "warmup_steps"),
    *("source_steps", "source_learning_rate", "steps", "learning_rate"),
)


@pytest.mark.parametrize("name", ["folders_pretrained", "cityscapes_idd", "drawn_cityscapes"])
def test_pretrained_networks_are_trained_alike(name):
    found, camvid = (flat(_get_config(each)) for each in (name, "camvid"))
    assert {key: found[key] for key in PRETRAINED} == {key: camvid[key] for key in PRETRAINED}


def test_pretrained_folders_are_folders():
    found, folders = (flat(_get_config(each)) for each in ("folders_pretrained", "folders"))
    changed = {key for key in folders if found[key] != folders[key]}
    assert changed == {"name", *PRETRAINED}


def test_base_config_is_valid():
    check_config(_complete_config())


@each_config
def test_unknown_variant(name):
    with pytest.raises(
        UserError, match=f"'max_squares' of the configuration '{name}'.*max_square_iw,"
    ):
        _get_config(name, "max_squares")


def test_all_wrong_keys_in_one_error():
    config = _complete_config()
    config.compute_dtype = "float16"
    config.model.depth = 18
    config.model.active_dilations = (6, 7)
    config.batch_size = 0
    config.source_size = (720, 8)
    config.learning_rate = 0.0
    config.momentum = 1.0
    config.scales = ()
    config.target_augmentation.jitter = 2.0
    with pytest.raises(UserError) as caught:
        check_config(config)
    head, *lines = str(caught.value).splitlines()
    assert "configuration" in head
    assert {line.split(":")[0].strip() for line in lines} == {
        "compute_dtype",
        "model.depth",
        "model.active_dilations",
        "batch_size",
        "source_size",
        "learning_rate",
        "momentum",
        "scales",
        "target_augmentation.jitter",
    }
    assert "  model.depth: expected one of 14, 26, 50, 101, found 18" in lines


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("variant", "none"),
        ("normalization", "offical"),
        ("guidance_rule", "offical"),
        ("input_convention", "bgr"),
        ("model.stride_placement", "pytorch"),
        ("model.width", 0),
        ("model.aspp_dilations", (6, 12, "18")),
        ("target_size", (64.5, 64)),
        ("source_augmentation.scale", (1.0,)),
        ("source_augmentation.crop", (64.5, 64.5)),
        ("scales", ("a",)),
        ("model.active_dilations", ()),
        ("eval_size", "half"),
        ("on_bad_example", "ignore"),
        ("num_classes", 0),
        ("num_classes", 255),
        ("eval_every", 0),
        ("log_every", 0),
        ("keep_every", -1),
        ("steps", 0),
        ("source_steps", -1),
        ("poly_steps", 29_749),
        ("source_poly_steps", 1),
        ("eval_batch_size", 0),
        ("seed", -1),
        ("target_size", (64,)),
        ("source_learning_rate", -1.0),
        ("head_rate_multiplier", 0.0),
        ("weight_decay", -1e-4),
        ("lambda_target", -0.1),
        ("lambda_low", -0.1),
        ("lambda_source_low", -0.1),
        ("guidance_threshold", 1.5),
        ("iw_alpha", -0.1),
        ("scales", (1.0, 0.0)),
        ("source_augmentation.scale", (1.5, 0.5)),
        ("learning_rate", float("nan")),
    ],
)
def test_each_wrong_value_is_named(key, value):
    config = _complete_config()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError) as caught:
        check_config(config)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [f"  {key}"]
    assert repr(value) in lines[0]


@pytest.mark.parametrize(
    ("variant", "source_steps", "steps", "key"),
    [
        *(("source", 5, 9, "source_steps"), ("source", 6, 5, None)),
        *(("max_square", 6, 5, "steps"), ("max_square", 0, 5, "steps")),
        *(("max_square", 5, 6, "source_steps"), ("max_square", 0, 6, None)),
    ],
)
def test_warm_up_ends_within_each_stage_that_is_trained(variant, source_steps, steps, key):
    config = base_config("x", variant)
    config.update({"warmup_steps": 5, "source_steps": source_steps, "steps": steps})
    config = complete(config)
    if key is None:
        check_config(config)
    else:
        with pytest.raises(UserError, match=f"  warmup_steps: expected below {key}, 5, found 5$"):
            check_config(config)


def test_statistics_are_kept_where_there_are_some():
    config = _complete_config("max_square")
    config.frozen_batch_norm = True
    check_config(config)  # the source-only network has some
    config.source_frozen_batch_norm = True
    message = r"  source_frozen_batch_norm: expected false, .* \(set init_from\), found True$"
    with pytest.raises(UserError, match=message):
        check_config(config)
    config.init_from = "efficientnet_lite0"
    check_config(config)


class TestObjective:
    def test_variant_decides(self):
        found = objective(_complete_config("max_square_iw_multi"))
        assert (found.target_loss, found.multi, found.iw_alpha) == ("max_square", True, 0.2)
        found = objective(_complete_config("minent"))
        assert (found.target_loss, found.multi, found.iw_alpha) == ("minent", False, None)

    def test_source_only_stage_has_no_target_loss(self):
        config = _complete_config("max_square_iw_multi")
        found = objective(config, adapt=False)
        assert (found.target_loss, found.multi) == ("none", True)


def test_values_that_are_missing():
    config = _complete_config()
    config.iw_alpha = config.model.aspp_dilations = None
    with pytest.raises(UserError, match=r"no value \(None\) for iw_alpha, model.aspp_dilations"):
        check_config(config)


def test_differences():
    old, new = base_config("x"), base_config("x")
    for config, further in ((old, {"gone": 1, "same": [1]}), (new, {"new": "a", "same": (1,)})):
        with config.unlocked():
            config.update(further)
    new.update({"seed": 1, "debug": True, "steps": 7, "source_size": (64, 80)})
    new.model.depth = 50
    assert list(keys.differences(old, new).items()) == [
        ("gone", (1, None)),
        ("model.depth", (101, 50)),
        ("new", (None, "a")),
        ("seed", (0, 1)),
        ("source_size", ([720, 1280], [64, 80])),
        ("steps", (None, 7)),
    ]


def test_no_differences_to_what_was_written():
    config = base_config("x")
    written = presets.from_json(json.loads(as_json(config)), "x")
    assert keys.differences(written, config) == {}
    config.model.width = 65
    assert keys.differences(written, config) == {"model.width": (64, 65)}


def test_augmentation_has_the_defaults_of_its_keys():
    assert keys.augmentation() == {name: key.default for name, key in AUGMENTATION.items()}


def test_every_default_is_valid():
    for name, key in {**KEYS, **keys.model_keys()}.items():
        assert key.meaning, name
        assert key.default is None or key.accepts(key.default), name


def test_names_that_are_registered_later_are_valid(monkeypatch):
    monkeypatch.setitem(VARIANTS, "mine", VARIANTS["max_square"])
    check_config(_complete_config("mine"))
