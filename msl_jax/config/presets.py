"""What the weights and the preset decide for keys that a configuration leaves open (None).

`official` is what the official code does and the published numbers belong to; `paper` is what the
paper's text says, and the official code where the text is silent. docs/reproducing.md has the table
of differences.
"""

from __future__ import annotations

from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.config import base_config
from msl_jax.config.keys import PLACE_KEYS, flat, types_explained
from msl_jax.methods.registry import recipe_of
from msl_jax.methods.variants import VARIANTS_OF
from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.models.deeplab import OFFICIAL_ACTIVE_DILATIONS, OFFICIAL_DILATIONS
from msl_jax.models.spec import NETWORKS, NetworkSpec, fixed_keys, from_scratch, small_keys
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.paths import absolute
from msl_jax.runtime.registration import files_of

# What `shrink` sets, at the most, with a small network and images and crops an eighth of the size.
# Such a run learns nothing.
_SHRUNK_STEPS = {
    **{"source_steps": 20, "source_poly_steps": 20, "steps": 20, "poly_steps": 20},
    **{"warmup_steps": 2, "eval_every": 10, "log_every": 5},
}

_DOMAINS = ("source", "target")

# Keys with paths, which a complete configuration holds absolute: eval.py, predict.py and reports
# then find the files from any working folder.
_PATHS = (*PLACE_KEYS, "method.spatial_prior")

PRESETS: dict[str, dict[str, Any]] = {
    "official": {
        "normalization": "official",
        "guidance_rule": "official",
        "model.active_dilations": OFFICIAL_ACTIVE_DILATIONS,  # a `return` in the loop over all
        "repeated_visits": True,  # the optimizer's list holds parameters several times
        "lambda_source_low": 0.1,
        "source_steps": 80_000,  # stopped there
        "source_poly_steps": 200_000,
        "steps": 29_750,  # 10 epochs of 2,975 images
        "poly_steps": 29_760,  # 5 epochs of 2,976 x 2
    },
    "paper": {
        "normalization": "paper",
        "guidance_rule": "paper",
        "model.active_dilations": OFFICIAL_DILATIONS,
        "repeated_visits": False,
        "lambda_source_low": 0.0,  # Eq. 2 has one head, Eq. 14 extends the target loss alone
        "source_steps": 70_000,
        "source_poly_steps": 70_000,
        "steps": 29_750,  # the text does not say
        "poly_steps": 29_750,
    },
}


def complete(
    config: ConfigDict, network: NetworkSpec | None = None, origin: str = ""
) -> ConfigDict:
    """The configuration with every open key decided: by the weights, then by the preset.

    Args:
        config: of `msl_jax.config.base_config`; not modified.
        network: what is known about the network of the weights of `init_from`.
        origin: where these weights come from, for messages.

    Returns:
        A configuration without None, its paths absolute, locked.

    Raises:
        UserError: the preset, the network or the backbone is unknown, or keys are set to values
            that do not fit the weights.
    """
    for key, name, names in (
        ("preset", config.preset, PRESETS),
        ("model.network", config.model.network, NETWORKS),
        ("model.backbone", config.model.backbone, BACKBONES),
    ):
        if name not in names:
            raise UserError(f"{key}: expected one of {', '.join(names)}, found {name!r}")
    decided = flat(config)
    if config.shrink:
        decided.update(_shrunk(decided, network))
    if network is not None:
        _take_over(decided, network, origin)
        official = network.model.get("aspp_dilations") == OFFICIAL_DILATIONS
        if official and decided["model.active_dilations"] is None:
            # A file with trained heads does not say which dilations they sum. The official code
            # sums two of them; ADVENT sums four, so that its files need the key.
            decided["model.active_dilations"] = OFFICIAL_ACTIVE_DILATIONS
    for stage in ("", "source_"):
        # The official schedule belongs to the official number of steps.
        if decided[f"{stage}steps"] is not None and decided[f"{stage}poly_steps"] is None:
            decided[f"{stage}poly_steps"] = decided[f"{stage}steps"]
    published = {**PRESETS[config.preset], **_of_variant(config)}
    # A photo is cut to the classifier's crop: squeezed before, as in training, it loses no object.
    published["photo_size"] = "target" if config.task == "classification" else "shorter"
    for key, value in {**from_scratch(config.model), **published}.items():
        if decided[key] is None:
            decided[key] = value
    if config.shrink:
        decided.update({key: min(most, decided[key]) for key, most in _SHRUNK_STEPS.items()})
    decided.update({key: str(absolute(decided[key])) for key in _PATHS if decided.get(key)})
    decided["init_from"] = _found(decided["init_from"])
    decided["registered_by"] = _files(config)
    completed = config.copy_and_resolve_references()
    completed.update_from_flattened_dict(decided)
    return completed.lock()


def _files(config: ConfigDict) -> tuple[str, ...]:
    """The users' own files that registered something of what this configuration names.

    Or a key of the group `model`: that has those of all backbones, and cannot be read without them.
    """
    task, variant = config.task, VARIANTS_OF.get(config.task, {}).get(config.variant)
    splits = (config[f"{domain}_{use}"] for domain in _DOMAINS for use in ("train", "eval"))
    named = [("data set", split.partition("/")[0]) for split in splits]
    named += [("backbone", config.model.backbone), (f"variant of {task}", config.variant)]
    owners = {key: name for name, module in reversed(BACKBONES.items()) for key in module.KEYS}
    named += [("backbone", owners[key]) for key in config.model if key in owners]
    if variant is not None:
        named += [(f"method of {task}", variant.method), ("target loss", variant.target_loss)]
    return files_of(named)


def _found(weights: str) -> str:
    """The absolute path of weights, with what follows a workdir's colon; others as they are."""
    folder = weights.rpartition(":")[0]
    there = any(place and absolute(place).exists() for place in (weights, folder))
    return str(absolute(weights)) if there else weights


def from_json(values: Any, origin: str) -> ConfigDict:
    """A configuration from its JSON; keys added since get their defaults, open ones stay open.

    Unknown keys at the top level are kept: a configuration may have some of its own, such as
    CrossCity's city.

    Args:
        values: what `config.keys.as_json` wrote, perhaps in an earlier version.
        origin: the file, for messages.

    Raises:
        UserError: a group such as `model` has keys that this version does not know, or the name,
            variant or task is missing, or the task or variant is unknown, or a value is of the
            wrong type.
    """
    with types_explained(origin):
        return _from_json(values, origin)


def _from_json(values: Any, origin: str) -> ConfigDict:
    missing = {"name", "variant", "task"} - set(values if isinstance(values, dict) else ())
    if missing:
        raise UserError(
            f"{origin} is not a run's configuration: it lacks {', '.join(sorted(missing))}. Nothing"
            " has been changed."
        )
    if values["task"] not in tuple(VARIANTS_OF):
        raise UserError(
            f"{origin}: task: expected one of {', '.join(VARIANTS_OF)}, found {values['task']!r}."
            " Nothing has been changed."
        )
    config = base_config(values["name"], values["variant"], values["task"])
    with config.unlocked():
        for key in values.keys() - config.keys():
            config[key] = _tuples(values[key])
    saved, known = flat(ConfigDict(values)), flat(config)
    unknown = sorted(saved.keys() - known.keys())
    if unknown:
        raise UserError(
            f"{origin} has keys that this version does not know: {', '.join(unknown)}. Use the"
            " version of msl_jax that wrote it."
        )
    config.update_from_flattened_dict({key: _tuples(value) for key, value in saved.items()})
    return config.lock()


def restored(values: Any, origin: str) -> ConfigDict:
    """A run's complete configuration from its JSON; see `from_json`."""
    with types_explained(origin):
        return complete(from_json(values, origin))


def _tuples(value: Any) -> Any:
    """JSON has only lists; configurations hold tuples."""
    return tuple(value) if isinstance(value, list) else value


def _shrunk(decided: dict[str, Any], network: NetworkSpec | None) -> dict[str, Any]:
    """The keys of a shrunk run, which is not shrunk again; weights decide their network's size."""
    sizes = {
        key: tuple(max(16, side // 8) for side in decided[key])
        for domain in _DOMAINS
        for key in (f"{domain}_size", f"{domain}_augmentation.crop")  # () is no crop
    }
    small = small_keys({key: decided[f"model.{key}"] for key in ("network", "backbone")})
    if network is not None:  # of a shrunk run or of full size: both can be tried
        known = network.keys()
        small = {key: known.get(key, decided[key]) for key in small}
    return {"shrink": False, **sizes, **small}


def _of_variant(config: ConfigDict) -> dict[str, Any]:
    """What the recipe of a variant has otherwise; nothing if there is no such variant."""
    variants = VARIANTS_OF.get(config.task, {})
    if config.variant not in variants:
        return {"lambda_target": 0.1}
    variant = variants[config.variant]
    # 0.1 in all experiments according to the text; 0.09 in the official recipe of Multi.
    lower = config.preset == "official" and variant.multi and variant.method == "target_loss"
    return {"lambda_target": 0.09 if lower else 0.1, **recipe_of(config.variant, config.task)}


def _take_over(decided: dict[str, Any], network: NetworkSpec, origin: str) -> None:
    """Sets open keys to what the weights need.

    Raises:
        UserError: keys are set to something else; lists all of them.
    """
    wrong = []
    named = {key: decided[f"model.{key}"] for key in ("network", "backbone")}
    fixed = fixed_keys(named)
    for key, needed in network.keys().items():
        if key in fixed and fixed[key] != needed:
            wrong.append(f"  a classifier's {key} is {fixed[key]!r}, the weights need {needed!r}")
        elif decided[key] is None:
            decided[key] = needed
        elif decided[key] != needed:
            wrong.append(f"  config.{key} is {decided[key]!r}, the weights need {needed!r}")
    if wrong:
        raise UserError(
            f"{origin}: these weights do not fit the configuration.\n"
            + "\n".join(wrong)
            + "\nSet these keys to what the weights need. --config.reinit_heads=true loads the"
            " backbone alone and trains new heads. Stride placement and input convention cannot be"
            " read from a file: if they were recognised wrongly, pass them to msl-jax"
            " convert and use what it writes."
        )
