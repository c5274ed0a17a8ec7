"""Names that a user's own code adds to the package's tables."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any, ClassVar

import pytest

import msl_jax
from msl_jax.data.datasets.dataset import BuiltIn
from msl_jax.methods.method import BaseMethod
from msl_jax.methods.variants import Variant
from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.models.keys import Key, count
from msl_jax.runtime import registration
from msl_jax.runtime.errors import UserError


@pytest.fixture(autouse=True)
def _origins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_origins", {})


class Camvid(BuiltIn):
    name = "camvid"


class Plain:
    KEYS: ClassVar[dict[str, Key]] = {}


@pytest.mark.parametrize(
    ("function", "arguments", "found"),
    [
        ("register_target_loss", ("minent", max), "target loss 'minent'"),
        ("register_target_loss", ("hard", max), "target loss 'hard'"),
        ("register_method", ("dacs", BaseMethod()), "method of segmentation 'dacs'"),
        ("register_variant", ("source", Variant()), "variant of segmentation 'source'"),
        ("register_dataset", (Camvid,), "data set 'camvid'"),
        ("register_backbone", ("resnet", Plain), "backbone 'resnet'"),
        ("register_public_names", ("resnet", object), "backbone in public files 'resnet'"),
    ],
)
def test_name_of_the_package_is_refused(function: str, arguments: Any, found: str) -> None:
    message = f"{__file__}: there is a {found} already, of msl_jax itself"
    with pytest.raises(UserError, match=message):
        getattr(msl_jax, function)(*arguments)


@pytest.mark.parametrize("name", ["", "two words", "2nd", "a/b", "é"])
def test_impossible_name(name: str) -> None:
    with pytest.raises(UserError, match="has letters, digits and underscores"):
        registration.register({}, "backbone", name, 1)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (Variant(method="nothing"), "expected a method among target_loss, .*found 'nothing'"),
        (Variant(target_loss="l1"), "expected a target loss among none, minent, .*found 'l1'"),
    ],
)
def test_variant_of_what_is_not_registered(variant: Variant, message: str) -> None:
    with pytest.raises(UserError, match=f"variant 'mine': {message}; register it first"):
        msl_jax.register_variant("mine", variant)


def test_the_same_file_may_register_again_and_another_may_not(tmp_path: Path) -> None:
    table: dict[str, Any] = {}
    names = {"register": registration.register, "table": table}
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    for file in (one, two):
        file.write_text("register(table, 'loss', 'mine', object())")
    runpy.run_path(str(one), names)
    first = table["mine"]
    runpy.run_path(str(one), names)
    assert table["mine"] is not first
    with pytest.raises(UserError, match=rf"{two}: there is a loss 'mine' already, of {one}"):
        runpy.run_path(str(two), names)
    assert registration.files_of([("loss", "mine"), ("loss", "other")]) == (str(one),)


def test_the_same_file_under_two_names(tmp_path: Path) -> None:
    """`--config` runs mine.py as a module of another name than what a helper imports."""
    names = {"register": registration.register, "table": (table := {})}
    file = tmp_path / "mine.py"
    file.write_text("register(table, 'loss', 'mine', __name__)")
    for module in ("config_config", "mine"):
        runpy.run_path(str(file), names, run_name=module)
    assert table == {"mine": "mine"}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"depth": count(18)}, "its key 'depth' has default 18, .* another one's has 101"),
        ({"width": count(None)}, "its key 'width' has default None, .* another one's has 64"),
        ({"aspp_dilations": count(1)}, "its key 'aspp_dilations' has kind .*int"),
        ({"depth": count(101), "width": count(64, small=4), "mine": count(3)}, None),
    ],
)
def test_a_key_of_others_with_another_default(
    key: dict[str, Key], message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(Plain):
        KEYS = key

    monkeypatch.setitem(BACKBONES, "mine", None)  # is taken out again afterwards
    del BACKBONES["mine"]
    if message is None:
        for _ in range(2):  # as when a file is read twice
            msl_jax.register_backbone("mine", Mine)
        return
    with pytest.raises(UserError, match=f"backbone 'mine': {message}"):
        msl_jax.register_backbone("mine", Mine)
    assert "mine" not in BACKBONES


def test_public_names() -> None:
    for name in msl_jax.__all__:
        assert getattr(msl_jax, name) is not None
        assert name in dir(msl_jax)
    with pytest.raises(AttributeError, match="module 'msl_jax' has no attribute 'nothing'"):
        _ = msl_jax.nothing  # type: ignore[attr-defined]
