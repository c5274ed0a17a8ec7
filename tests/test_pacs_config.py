"""configs/pacs.py, alone and on the real images."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from benchmarks.tables.runs import tasks_of
from msl_jax.config.keys import check_config, flat
from msl_jax.config.presets import complete
from msl_jax.data.datasets.registry import default_size, open_split
from msl_jax.methods.variants import CLASSIFICATION_VARIANTS

CONFIGS = Path(__file__).parent.parent / "configs"
CLASSES = ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person")


def _config(name: str, variant: str = "max_square", **keys: str):
    config = runpy.run_path(str(CONFIGS / f"{name}.py"))["get_config"](variant)
    config.update_from_flattened_dict(keys)
    return complete(config)


@pytest.mark.parametrize("variant", CLASSIFICATION_VARIANTS)
def test_every_variant_is_valid(variant: str) -> None:
    config = _config("pacs", variant, source="cartoon", target="art_painting")
    check_config(config)
    assert config.name == "pacs-cartoon-art_painting"
    assert config.source_train == config.source_eval == "class_folders/cartoon"
    assert config.target_train == config.target_eval == "class_folders/art_painting"
    assert default_size("class_folders") == config.source_size == config.target_size


@pytest.mark.parametrize("variant", CLASSIFICATION_VARIANTS)
def test_setting_is_that_of_table_1(variant: str) -> None:
    """Nothing but the data differs from the configuration of Office-31."""
    ours, office = (flat(_config(name, variant)) for name in ("pacs", "office31"))
    other = {key for key in ours if ours[key] != office[key]}
    data = {f"{domain}_{part}" for domain in ("source", "target") for part in ("train", "eval")}
    assert other == {"name", "num_classes", "source", "target"} | data


def test_tasks() -> None:
    domains = ("photo", "art_painting", "cartoon")
    pairs = [f"{source}-{target}" for source in domains for target in domains if source != target]
    assert sorted(tasks_of(_config("pacs"))) == sorted(pairs)


def test_real_images(shared_data) -> None:
    for domain in ("photo", "art_painting", "cartoon"):
        dataset, split = open_split(f"class_folders/{domain}", shared_data("pacs"), 7)
        assert dataset.label_set.names == CLASSES
        examples = dataset.examples(split)
        assert 500 < len(examples) <= 560
        for example in examples[::80]:
            image, label = example.read()
            assert image.shape == (227, 227, 3)
            assert example.key.startswith(f"{CLASSES[int(label)]}/")
