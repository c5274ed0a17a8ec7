"""What each variant optimises: a table, and the first step of a run by it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.config import IN_ROUNDS, SELF_TRAINING, VARIANTS
from msl_jax.data.augment import Augmentation
from msl_jax.data.datasets.camvid import CamVid
from msl_jax.data.pipeline import TrainingBatches
from msl_jax.data.prepared.records import prepare
from msl_jax.losses import guidance_labels
from msl_jax.methods.registry import keys_of
from msl_jax.methods.variants import CLASSIFICATION_VARIANTS, Variant
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.models.discriminator import PixelDiscriminator
from msl_jax.models.initial import uniform_params

from .measured import assert_metrics
from .written_out import Recipe, heads, on_devices, source_terms, split, target_terms

pytestmark = pytest.mark.usefixtures("shared_steps")

# Whether it adapts; the target loss, and whether it is weighted; both heads; target labels; another
# method than a target loss.
TABLE = {
    "source": (False, "none", False, False, False),
    "target_statistics": (True, "none", False, False, False),
    "target_statistics_multi": (True, "none", False, True, False),
    "minent": (True, "minent", False, False, False),
    "minent_iw": (True, "minent", True, False, False),
    "hard": (True, "hard", False, False, False),
    "max_square": (True, "max_square", False, False, False),
    "max_square_iw": (True, "max_square", True, False, False),
    "max_square_multi": (True, "max_square", False, True, False),
    "max_square_iw_multi": (True, "max_square", True, True, False),
    "adaptsegnet": (True, "none", False, True, False, "adaptsegnet"),
    "adaptsegnet_single": (True, "none", False, False, False, "adaptsegnet_single"),
    "advent": (True, "none", False, True, False, "advent"),
    "minent_advent": (True, "none", False, True, False, "minent_advent"),
    "dacs": (True, "none", False, False, False, "dacs"),
    "mic": (True, "none", False, False, False, "mic"),
    "self_training": (True, "none", False, False, False, "self_training"),
    "self_training_multi": (True, "none", False, True, False, "self_training"),
    "cbst": (True, "none", False, False, False, "cbst"),
    "cbst_sp": (True, "none", False, False, False, "cbst_sp"),
    "crst_mrkld": (True, "none", False, False, False, "crst_mrkld"),
    "crst_lrent": (True, "none", False, False, False, "crst_lrent"),
    "oracle": (False, "none", False, False, True),
}
ADAPTING = [name for name, (adapt, *_) in TABLE.items() if adapt]
# The rows of the paper's own objective, Eq. 1, and those of other methods. What self-training
# optimises is tested in tests/parity and tests/training, rounds in test_rounds.py.
OF_EQUATION_1 = [name for name in ADAPTING if len(TABLE[name]) == 5]
_ELSEWHERE = (*SELF_TRAINING, *IN_ROUNDS)
OTHERS = [name for name in ADAPTING if name not in (*OF_EQUATION_1, *_ELSEWHERE)]
CLASSIFICATION_TABLE = {
    **{name: TABLE[name] for name in ("source", "target_statistics", "minent", "max_square")},
    **{"oracle": TABLE["oracle"], "dann": (True, "none", False, False, False, "dann")},
}
# Of the paper, which the preset decides: normalization, rule, and no low head on source labels.
KEYS: dict[str, Any] = {
    "preset": "paper",
    "lambda_target": 2.5,
    "lambda_low": 0.3,
    "iw_alpha": 0.6,
    "guidance_threshold": 0.125,
    "log_every": 1,
}
# Of the other methods; each has some of them.
METHOD_KEYS: dict[str, Any] = {
    "method.lambda_adv_final": 2.5,
    "method.lambda_adv_low": 0.75,
    "method.lambda_ent_final": 2.5,
    "method.lambda_ent_low": 0.75,
    "method.discriminator_width": 4,
}


def _method_keys(variant: str) -> dict[str, Any]:
    """Those of `METHOD_KEYS` that a method knows; one variant has the other loss."""
    own = keys_of(variant, "segmentation")
    keys = {
        f"method.{key}": METHOD_KEYS[f"method.{key}"]
        for key in own
        if f"method.{key}" in METHOD_KEYS
    }
    if variant == "adaptsegnet_single":
        keys["method.gan"] = "least_squares"
    return {**keys, "lambda_source_low": 0.6} if variant in OTHERS else keys


def _recipe(variant: str, **changes: Any) -> Recipe:
    _, target_loss, weighted, multi, *_ = TABLE[variant]
    recipe = Recipe(
        target_loss,
        weighted,
        multi,
        lambda_target=2.5,
        lambda_source_low=0.0,
        lambda_low=0.3,
        alpha=0.6,
        threshold=0.125,
        normalization="paper",
        rule="paper",
    )
    return recipe._replace(**changes)


@pytest.mark.parametrize(
    ("variants", "table"), [(VARIANTS, TABLE), (CLASSIFICATION_VARIANTS, CLASSIFICATION_TABLE)]
)
def test_table(variants: dict[str, Variant], table: dict[str, tuple]) -> None:
    found = {name: variant._replace(meaning="") for name, variant in variants.items()}
    assert found == {name: Variant(*row) for name, row in table.items()}
    assert all(variant.meaning for variant in variants.values())


@pytest.fixture(scope="module")
def adapted(start, whole, tiny_config, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Function that gives the run of a variant from a trained network, made once."""
    runs: dict[str, Any] = {}

    def run(variant: str, preset: str = "paper") -> Any:
        name = f"{variant}-{preset}"
        if name not in runs:
            keys = {**KEYS, "preset": preset, "init_from": f"{whole.workdir}:source"}
            keys |= _method_keys(variant)
            if variant in SELF_TRAINING:
                keys["target_augmentation.crop"] = (16, 24)
            runs[name] = start(tiny_config(variant, **keys), tmp_path_factory.mktemp(name) / "run")
        return runs[name]

    return run


@pytest.fixture(scope="module")
def first_batch(whole, tiny_keys: dict[str, Any]) -> dict[str, Any]:
    """Logits `[D B, H, W, C]` of both heads on the first batch of an adaptation, and its labels."""
    dataset, records_dir = CamVid(tiny_keys["data_root"]), tiny_keys["records_dir"]
    batches = TrainingBatches(
        prepare(dataset, "train_day", (24, 32), records_dir),
        prepare(dataset, "train_dusk", (16, 32), records_dir),
        batch_size=2,
        seed=0,
        source_augmentation=Augmentation(scale=(0.6, 1.4), crop=(16, 24), jitter=0.5),
        target_augmentation=Augmentation(scale=(0.6, 1.4)),
    )
    (batch,) = split(next(batches), 2)
    batches.close()
    model = DeepLabV2(11, ResNet(14, 4), aspp_dilations=(1, 2), active_dilations=(1,))
    variables = whole.variables(":source")
    params, stats = variables["params"], on_devices(variables["batch_stats"], 2)
    images = [jnp.asarray(batch[domain]["image"]) for domain in ("source", "target")]

    @jax.jit
    def logits(images: Any) -> Any:
        return [heads(model, params, stats, of_domain)[:2] for of_domain in images]

    source, target = logits(images)
    return {"source": source, "labels": jnp.asarray(batch["source"]["label"]), "target": target}


def test_rules_of_the_guidance_differ_here(first_batch) -> None:
    """Else the metrics below would not tell which one has been followed."""
    official, paper = (
        np.asarray(guidance_labels(*first_batch["target"], 0.125, rule=rule))
        for rule in ("official", "paper")
    )
    assert 0.1 < (paper != 255).mean() < (official != 255).mean() - 0.02


def _assert_first_step(run: Any, first_batch: dict[str, Any], recipe: Recipe) -> None:
    """The parts of the objective that the run has logged are those of the recipe."""
    expected = {
        **source_terms(*first_batch["source"], first_batch["labels"], recipe),
        **target_terms(*first_batch["target"], recipe),
    }
    found = run.logged("adapt")
    found.pop("target/guided_share", None)
    assert {name: steps[1] for name, steps in found.items()} == {
        name: pytest.approx(float(value), rel=1e-3) for name, value in expected.items()
    }


@pytest.mark.parametrize("variant", OF_EQUATION_1)
def test_first_step(adapted, first_batch, variant: str) -> None:
    _assert_first_step(adapted(variant), first_batch, _recipe(variant))


def test_first_step_of_the_official_preset(adapted, first_batch) -> None:
    """Its losses are means over classes, its rule is another, and its low head has labels."""
    official = {"lambda_source_low": 0.1, "normalization": "official", "rule": "official"}
    recipe = _recipe("max_square_iw_multi", **official)
    _assert_first_step(adapted("max_square_iw_multi", "official"), first_batch, recipe)


def _domain_loss(maps: Any, seed: int, label: float, gan: str) -> Any:
    """L(D(maps), label) of a discriminator that has not been trained yet."""
    module = PixelDiscriminator(METHOD_KEYS["method.discriminator_width"])
    params = uniform_params(module, (32, 32, maps.shape[-1]), seed)
    outputs: Any = module.apply({"params": params}, maps)
    if gan == "least_squares":
        return jnp.mean((outputs - label) ** 2)
    sign = 1 if label == 0 else -1
    return jnp.mean(jnp.log1p(jnp.exp(sign * outputs)))


def _adversarial_terms(batch: dict[str, Any], *, see: Any, gan: str, heads: int) -> dict[str, Any]:
    """The parts of the objective in which a discriminator takes part; the final head's is drawn
    from twice the seed of the run, which is 0, the low head's from the next number.
    """
    terms = {}
    for seed, head in list(enumerate(("final", "low")))[:heads]:
        source, target = (
            see(jax.nn.softmax(batch[domain][seed])) for domain in ("source", "target")
        )
        weight = METHOD_KEYS[f"method.lambda_adv_{head}"]
        terms[f"source/discriminator_{head}"] = _domain_loss(source, seed, 0, gan) / 2
        terms[f"target/discriminator_{head}"] = _domain_loss(target, seed, 1, gan) / 2
        terms[f"target/adversarial_{head}"] = weight * _domain_loss(target, seed, 0, gan)
    return terms


def _information(p: Any) -> Any:
    """ADVENT's maps, in parts of the largest entropy."""
    return jnp.where(p > 0, -p * jnp.log(p), 0) / math.log(p.shape[-1])


def _entropy_terms(batch: dict[str, Any]) -> dict[str, Any]:
    final, low = (_information(jax.nn.softmax(logits)).sum(-1).mean() for logits in batch["target"])
    return {"target/entropy_final": 2.5 * final, "target/entropy_low": 0.75 * low}


_TERMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "adaptsegnet": functools.partial(_adversarial_terms, see=lambda p: p, gan="vanilla", heads=2),
    "adaptsegnet_single": functools.partial(
        _adversarial_terms, see=lambda p: p, gan="least_squares", heads=1
    ),
    "advent": functools.partial(_adversarial_terms, see=_information, gan="vanilla", heads=2),
    "minent_advent": _entropy_terms,
}


@pytest.mark.parametrize("variant", OTHERS)
def test_first_step_of_other_methods(adapted, first_batch, variant: str) -> None:
    recipe = _recipe(variant, lambda_source_low=0.6)
    expected = {
        **source_terms(*first_batch["source"], first_batch["labels"], recipe),
        **_TERMS[variant](first_batch),
    }
    found = {name: steps[1] for name, steps in adapted(variant).logged("adapt").items()}
    assert found == {name: pytest.approx(float(v), rel=1e-3) for name, v in expected.items()}


@pytest.mark.parametrize("variant", ADAPTING)
def test_variant_starts_from_another_run(adapted, whole, variant: str) -> None:
    run = adapted(variant)
    assert run.results["source_only"] == whole.results["source_only"]
    assert run.results["final"]["step"] == 4
    assert_metrics(run.results["final"]["target"])
    assert not (run.workdir / "source").exists()
    before, after = whole.variables(":source")["params"], run.variables()["params"]
    moved = {
        head: not np.array_equal(before[head]["conv0"]["kernel"], after[head]["conv0"]["kernel"])
        for head in ("final_head", "low_head")
    }
    assert moved == {"final_head": True, "low_head": TABLE[variant][3]}
