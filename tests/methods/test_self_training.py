"""The keys of self-training on their way to what is computed."""

from __future__ import annotations

from typing import Any

import jax
import pytest

from msl_jax.config import SELF_TRAINING, base_config
from msl_jax.config.keys import check_config
from msl_jax.config.presets import complete
from msl_jax.methods import segmentation, self_training
from msl_jax.methods.registry import keys_of, method_of
from msl_jax.methods.self_training_keys import Settings
from msl_jax.methods.teacher import TEACHER, exchanged
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.runtime.errors import UserError

# All of them away from their defaults.
KEYS: dict[str, Any] = {
    "teacher_decay": 0.5,
    "confidence": 0.7,
    "lambda_mixed": 0.3,
    "jitter": 0.1,
    "blur": False,
    "frozen_affine": True,
    "target_loss": "max_square",
    "image_weights": True,
    "max_square_below": True,
    "lambda_masked": 0.2,
    "mask_ratio": 0.6,
    "mask_cell": 5,
    "rare_class_temperature": 0.02,
    "rare_class_share": 0.1,
}
NOT_OF_THE_OBJECTIVE = ("frozen_affine", "rare_class_temperature", "rare_class_share")


def _config(variant: str, **keys: Any) -> Any:
    config = base_config("x", variant)
    config.source_size = config.target_size
    config.update_from_flattened_dict({"seed": 5, "num_classes": 7, "iw_alpha": 0.4, **keys})
    return complete(config)


def _given(monkeypatch: pytest.MonkeyPatch, config: Any) -> dict[str, Any]:
    """Arguments of what makes a method's training."""
    given: dict[str, Any] = {}

    def recorded(name: str) -> Any:
        return lambda *args, **kwargs: given.setdefault(name, (args, kwargs))

    for name in ("passes", "preparation", "drawing", "following"):
        monkeypatch.setattr(self_training, name, recorded(name))
    monkeypatch.setattr(segmentation, "network_optimizer", recorded("optimizer"))
    model = DeepLabV2(7, ResNet(14, 4))
    given["training"] = method_of(config, adapt=True).training(config, model, {})
    return given


def test_these_are_all_keys() -> None:
    assert set(KEYS) == set(keys_of("self_training", "segmentation"))
    for variant in SELF_TRAINING:
        for name, key in keys_of(variant, "segmentation").items():
            assert type(key.default) is type(KEYS[name])


@pytest.mark.parametrize("variant", SELF_TRAINING)
def test_keys_reach_what_they_are_about(monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    own = {name: KEYS[name] for name in keys_of(variant, "segmentation")}
    config = _config(variant, **{f"method.{name}": value for name, value in own.items()})
    check_config(config)
    given = _given(monkeypatch, config)
    settings = Settings(**{k: v for k, v in own.items() if k not in NOT_OF_THE_OBJECTIVE})
    goal = segmentation.Objective(
        "none",
        multi=variant == "self_training_multi",
        iw_alpha=0.4,
        guidance_threshold=config.guidance_threshold,
    )
    assert given["passes"][0][1:] == (settings, goal)
    assert given["preparation"][0][1] == settings
    assert given["drawing"] == (
        (5, 7),
        {"jitter": 0.1, "blur": False, "cell": settings.mask_cell},
    )
    assert given["following"][0] == (0.5,)


def test_what_a_variant_recommends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own: fixed before anything has been measured."""
    for variant in SELF_TRAINING:
        training = _given(monkeypatch, _config(variant))["training"]
        assert (training.recommended is exchanged) == variant.startswith("self_training")
        assert set(training.carried({"params": {}})) == {TEACHER}


def test_defaults_are_those_of_the_papers() -> None:
    dacs = {name: key.default for name, key in keys_of("dacs", "segmentation").items()}
    assert Settings.of(dacs) == Settings()
    mic = {name: key.default for name, key in keys_of("mic", "segmentation").items()}
    assert Settings.of(mic) == Settings(lambda_masked=1.0)
    own = {name: key.default for name, key in keys_of("self_training", "segmentation").items()}
    assert Settings.of(own) == Settings()
    assert (dacs["frozen_affine"], own["frozen_affine"]) == (True, False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("confidence", 1.2),
        ("jitter", 0.6),
        ("target_loss", "minent"),
        ("mask_cell", 0),
        ("rare_class_temperature", -0.1),
    ],
)
def test_wrong_values(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"method\.{key}: expected .*, found {value!r}"):
        check_config(_config("self_training", **{f"method.{key}": value}))


def test_affine_parameters_of_the_backbone_are_frozen() -> None:
    config = _config("dacs")
    model = DeepLabV2(7, ResNet(14, 4), aspp_dilations=(1,), active_dilations=(1,))
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.numpy.zeros((1, 32, 32, 3)))
    training = method_of(config, adapt=True).training(config, model, shapes["params"])
    ones = jax.tree.map(lambda leaf: jax.numpy.ones(leaf.shape), shapes["params"])
    updates, _ = training.optimizer.update(ones, training.optimizer.init(ones), ones)
    moved = {
        jax.tree_util.keystr(path, simple=True, separator="/"): bool(leaf.any())
        for path, leaf in jax.tree_util.tree_leaves_with_path(updates)
    }
    affine = {name for name in moved if name.endswith(("scale", "bias")) and "backbone" in name}
    assert len(affine) == 2 * (1 + 4 * 4)
    assert {name for name, does in moved.items() if not does} == {
        *affine,
        *(name for name in moved if name.startswith("low_head")),
    }
