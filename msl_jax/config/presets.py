"""What the weights and the preset decide where a configuration leaves a key open (None).

`official` is what the official code does and the published numbers belong to; `paper` is what the
paper's text says, and the official code where the text is silent. docs/reproducing.md has the table
of differences.
"""

from __future__ import annotations

from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.config import VARIANTS, base_config
from msl_jax.config.keys import flat
from msl_jax.methods.variants import task_name
from msl_jax.models.spec import OFFICIAL_RATES, Network
from msl_jax.runtime.errors import UserError

# Key of a configuration -> field of `Network`.
NETWORK_KEYS = {
    "model.depth": "depth",
    "model.width": "width",
    "model.stride_placement": "stride_placement",
    "model.head_rates": "head_rates",
    "model.active_rates": "active_rates",
    "num_classes": "num_classes",
    "input_convention": "input_convention",
}

# What `shrink` makes of a run, beside images and crops of an eighth of the size. It learns nothing.
_SHRUNK_NETWORK = {"model.depth": 14, "model.width": 8}
_SHRUNK_STEPS = {
    **{"source_steps": 20, "source_poly_steps": 20, "steps": 20, "poly_steps": 20},
    **{"eval_every": 10, "log_every": 5},
}

# From scratch: the official stride; inputs of order 1, which a new network trains on more stably.
_FROM_SCRATCH = {"model.stride_placement": "caffe", "input_convention": "torchvision"}

PRESETS: dict[str, dict[str, Any]] = {
    "official": {
        "normalization": "official",
        "guidance_rule": "official",
        "model.active_rates": (6, 12),  # a `return` in the loop over the rates
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
        "model.active_rates": (6, 12, 18, 24),
        "repeated_visits": False,
        "lambda_source_low": 0.0,  # Eq. 2 has one head, Eq. 14 extends the target loss alone
        "source_steps": 70_000,
        "source_poly_steps": 70_000,
        "steps": 29_750,  # not in the text
        "poly_steps": 29_750,
    },
}


def complete(config: ConfigDict, network: Network | None = None, origin: str = "") -> ConfigDict:
    """The configuration with every open key decided: by the weights, then by the preset.

    Args:
        config: of `msl_jax.config.base_config`; left as it is.
        network: what is known of the network that the weights of `init_from` belong to.
        origin: what these weights are, for messages.

    Returns:
        A configuration without None, locked.

    Raises:
        UserError: unknown preset, or keys that are set otherwise than the weights need.
    """
    if config.preset not in PRESETS:
        raise UserError(f"preset: expected one of {', '.join(PRESETS)}, found {config.preset!r}")
    decided = flat(config)
    if config.shrink:
        decided.update(_shrunk(decided, network))
    if network is not None:
        _take_over(decided, network, origin)
        if network.head_rates == OFFICIAL_RATES and decided["model.active_rates"] is None:
            # A file of trained heads, which does not tell the rates that they sum: the official
            # code trains two of them. ADVENT's, which sum four, need the key.
            decided["model.active_rates"] = PRESETS["official"]["model.active_rates"]
    for stage in ("", "source_"):
        # The official schedule belongs to the official number of steps.
        if decided[f"{stage}steps"] is not None and decided[f"{stage}poly_steps"] is None:
            decided[f"{stage}poly_steps"] = decided[f"{stage}steps"]
    published = {**_FROM_SCRATCH, **PRESETS[config.preset], "lambda_target": _lambda_target(config)}
    for key, value in published.items():
        if decided[key] is None:
            decided[key] = value
    completed = config.copy_and_resolve_references()
    completed.update_from_flattened_dict(decided)
    return completed.lock()


def restored(values: Any, origin: str) -> ConfigDict:
    """A run's configuration from its JSON; keys that came after the run get their defaults.

    Further keys stay: a family of configurations may have some of its own, such as CrossCity's
    city.

    Args:
        values: what `config.keys.as_json` wrote, perhaps in an earlier version.
        origin: where, for messages.

    Raises:
        UserError: keys inside the groups, such as `model`, that this version does not have, or
            neither name nor variant.
    """
    missing = {"name", "variant"} - set(values if isinstance(values, dict) else ())
    if missing:
        raise UserError(
            f"{origin} is no run's configuration: it lacks {' and '.join(sorted(missing))}. Nothing"
            " has been changed."
        )
    config = base_config(values["name"], values["variant"], task_name(values))
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
    defaults = flat(complete(config))
    added = {key: defaults[key] for key in known.keys() - saved.keys()}
    config.update_from_flattened_dict(added)
    return config.lock()


def as_decided(config: ConfigDict, saved: ConfigDict) -> ConfigDict:
    """A configuration with its open keys as the weights of `init_from` have decided them before.

    Args:
        config: as the user gives it again.
        saved: complete, of the run that began with those weights.
    """
    decided, before = flat(config), flat(saved)
    decided.update({key: before[key] for key in NETWORK_KEYS if decided[key] is None})
    if config.shrink:
        decided.update(_shrunk(decided, None))
        decided.update({key: before[key] for key in _SHRUNK_NETWORK})
    again = config.copy_and_resolve_references()
    again.update_from_flattened_dict(decided)
    return again.lock()


def _tuples(value: Any) -> Any:
    """JSON knows lists alone; configurations hold tuples."""
    return tuple(value) if isinstance(value, list) else value


def _shrunk(decided: dict[str, Any], network: Network | None) -> dict[str, Any]:
    """Keys of a run that is made small, once; weights decide the size of their network."""
    sizes = {
        key: tuple(max(16, side // 8) for side in decided[key])
        for domain in ("source", "target")
        for key in (f"{domain}_size", f"{domain}_augmentation.crop")  # () is no crop
    }
    keys = {"shrink": False, **sizes, **_SHRUNK_STEPS, **_SHRUNK_NETWORK}
    if network is not None:  # of a shrunk run or of full size: either can be tried
        for key in _SHRUNK_NETWORK:
            keys[key] = getattr(network, NETWORK_KEYS[key]) or decided[key]
    return keys


def _lambda_target(config: ConfigDict) -> float:
    """0.1 in all experiments by the text; the official recipe of Multi has 0.09."""
    multi = config.variant in VARIANTS and VARIANTS[config.variant].multi
    return 0.09 if config.preset == "official" and multi else 0.1


def _take_over(decided: dict[str, Any], network: Network, origin: str) -> None:
    """Sets open keys as the weights need them.

    Raises:
        UserError: a key is set otherwise; lists all of them.
    """
    wrong = []
    for key, field in NETWORK_KEYS.items():
        needed = getattr(network, field)
        if needed is None:
            continue
        if decided[key] is None:
            decided[key] = needed
        elif decided[key] != needed:
            wrong.append(f"  config.{key} is {decided[key]!r}, the weights need {needed!r}")
    if wrong:
        raise UserError(
            f"{origin}: these weights do not fit the configuration.\n"
            + "\n".join(wrong)
            + "\nSet these keys as the weights need them. --config.reinit_heads=true takes over the"
            " backbone alone and trains new heads. Stride placement and input convention cannot be"
            " seen in a file: if they were recognised wrongly, describe it to python -m"
            " msl_jax.convert and use what that writes."
        )
