"""A network in the words of a configuration: what must be known to run its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.models.backbones.small_resnet import SmallResNet
from msl_jax.models.classifier import ImageClassifier
from msl_jax.models.deeplab import DeepLabV2
from msl_jax.models.inputs import InputConvention
from msl_jax.models.keys import Key, choice, count
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.registration import register

# By the key `model.network`. A network with a field `backbone` takes that of `model.backbone`.
NETWORKS: dict[str, Any] = {
    "deeplab": DeepLabV2,
    "classifier": ImageClassifier,
    "small_resnet": SmallResNet,
}


@dataclasses.dataclass(frozen=True)
class NetworkSpec:
    """A network as a configuration describes it; what is not known is None or missing.

    Attributes:
        model: keys of the configuration's group `model`: ``network``, ``backbone`` and the `KEYS`
            of both. Of weights that fit several networks, ``network`` is missing.
        num_classes: outputs of the heads.
        input_convention: name of an `InputConvention`.
    """

    model: Mapping[str, Any]
    num_classes: int | None = None
    input_convention: str | None = None

    @classmethod
    def from_config(cls, config: Any) -> NetworkSpec:
        """The network that a configuration describes, complete or saved by a run as JSON.

        Of the group `model` it has the keys that count for this network, and for a classifier what
        its backbone has as published whatever the configuration says.
        """
        group, model = config["model"], {}
        for key in ("network", *(["backbone"] if on_backbone(group) else []), *keys_of(group)):
            model[key] = tuple(group[key]) if isinstance(group[key], list) else group[key]
        model.update(published_keys(group))
        return cls(model, config["num_classes"], config["input_convention"])

    @classmethod
    def from_json(cls, values: Any) -> NetworkSpec:
        """Reads what `dataclasses.asdict` gave to JSON.

        Raises:
            TypeError: a field is missing, unknown or impossible.
        """
        spec = cls(**values)
        tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.model.items()}
        spec = dataclasses.replace(spec, model=tuples)
        if wrong := spec.wrong_values():
            raise TypeError("; ".join(f"{key}: expected {text}" for key, text in wrong.items()))
        return spec

    def keys(self) -> dict[str, Any]:
        """What is known, by the keys of a configuration, such as ``model.depth``."""
        known = {f"model.{key}": value for key, value in self.model.items()}
        known |= {"num_classes": self.num_classes, "input_convention": self.input_convention}
        return {key: value for key, value in known.items() if value is not None}

    def wrong_values(self) -> dict[str, str]:
        """`{key: expected}` of all that is known and not possible."""
        keys = {
            **{f"model.{name}": key for name, key in keys_of(self.model).items()},
            "model.network": choice(sorted(NETWORKS)),
            "model.backbone": choice(sorted(BACKBONES)),
            "num_classes": count(),
            "input_convention": choice(
                sorted(conventions_of(self.model)) or [self.input_convention]
            ),
        }
        none = Key(object, "no such key", lambda value: False)
        found = {name: (keys.get(name, none), value) for name, value in self.keys().items()}
        return {
            name: key.expected for name, (key, value) in found.items() if not key.accepts(value)
        }

    def without_heads(self) -> NetworkSpec:
        """What is left to know when all heads are re-initialised."""
        model = dict(self.model)
        if backbone := _backbone(model):
            kept = {"backbone", *(name for name, key in backbone.KEYS.items() if key.of_weights)}
            model = {key: value for key, value in model.items() if key in kept}
        return NetworkSpec(model, None, self.input_convention)

    def build(self, *, dtype: Any = None, rematerialize: bool = False) -> Any:
        """The network.

        Args:
            dtype: compute dtype; default: that of the images.
            rematerialize: see `msl_jax.models.backbones.backbone.Backbone`.

        Raises:
            ValueError: something is not known.
        """
        named = ["network", *(["backbone"] if on_backbone(self.model) else [])]
        missing = {f"model.{key}" for key in (*named, *keys_of(self.model))}
        missing |= {"num_classes", "input_convention"}
        if missing := missing - self.keys().keys():
            raise ValueError(f"not known of the network: {', '.join(sorted(missing))}")
        fields: dict[str, Any] = {"num_classes": self.num_classes, "dtype": dtype}
        convention = conventions_of(self.model)[self.input_convention]
        network = _network(self.model)
        if backbone := _backbone(self.model):
            published = backbone.PUBLISHED if network is ImageClassifier else {}
            settings = {**published, **self._values(backbone), "input_convention": convention}
            fields["backbone"] = backbone(**settings, rematerialize=rematerialize)
        else:
            fields["input_convention"] = convention
        return network(**self._values(network), **fields)

    def _values(self, module: Any) -> dict[str, Any]:
        return {key: self.model[key] for key in module.KEYS}


def on_backbone(model: Mapping[str, Any]) -> bool:
    """Whether a group `model` describes a network on a backbone, or a backbone alone."""
    if "network" not in model:
        return "backbone" in model
    network = _network(model)
    return network is not None and "backbone" in {f.name for f in dataclasses.fields(network)}


def _network(model: Mapping[str, Any]) -> Any:
    return NETWORKS.get(model.get("network", ""))


def _backbone(model: Mapping[str, Any]) -> Any:
    return BACKBONES.get(model.get("backbone", "")) if on_backbone(model) else None


def published_keys(model: Mapping[str, Any]) -> dict[str, Any]:
    """What a classifier's backbone has as published, whatever the group `model` says."""
    backbone = _backbone(model)
    if backbone is None or _network(model) is not ImageClassifier:
        return {}
    return {key: value for key, value in backbone.PUBLISHED.items() if key in backbone.KEYS}


def keys_of(model: Mapping[str, Any]) -> dict[str, Key]:
    """Keys by which a group `model` describes its network, besides ``network`` and ``backbone``.

    Names that do not exist have none.
    """
    modules = (_backbone(model), _network(model))
    return {name: key for module in modules if module for name, key in module.KEYS.items()}


def fixed_keys(model: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a configuration that do not count, with the values of a classifier's backbone."""
    return {f"model.{key}": value for key, value in published_keys(model).items()}


def from_scratch(model: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a configuration, left open, where no weights decide them."""
    keys = {f"model.{name}": key.from_scratch for name, key in all_keys().items()}
    keys["input_convention"] = next(iter(conventions_of(model)), None)
    return {key: value for key, value in keys.items() if value is not None}


def small_keys(model: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a configuration that make a network small enough to be tried on a CPU."""
    return {f"model.{n}": key.small for n, key in keys_of(model).items() if key.small is not None}


def conventions_of(model: Mapping[str, Any]) -> dict[Any, InputConvention]:
    """Input conventions by name that a group `model` allows; the first is that from scratch."""
    module = _backbone(model) if on_backbone(model) else _network(model)
    conventions = module.INPUT_CONVENTIONS if module else ()
    return {convention.name: convention for convention in conventions}


def all_keys(but: str = "") -> dict[str, Key]:
    """The keys of all backbones, `but` for one, and networks; of one name, the first one's."""
    backbones = (module for name, module in BACKBONES.items() if name != but)
    keys: dict[str, Key] = {}
    for module in (*backbones, *NETWORKS.values()):
        for name, key in module.KEYS.items():
            keys.setdefault(name, key)
    return keys


def register_backbone(name: str, backbone: Any) -> None:
    """Adds a backbone of one's own, a class of `msl_jax.models.backbones.backbone.Backbone`.

    Its `KEYS` are in the configurations that are made afterwards.

    Raises:
        UserError: there is one of this name already; or a key of a name of others has another type
            or default, which would be theirs.
    """
    known = all_keys(but=name)
    for key, own in backbone.KEYS.items():
        other = known.get(key, own)
        for what in ("kind", "default", "from_scratch"):
            if (found := getattr(own, what)) != (expected := getattr(other, what)):
                raise UserError(
                    f"backbone {name!r}: its key {key!r} has {what} {found!r}, but all networks"
                    f" share the group `model`, where another one's has {expected!r}; give the key"
                    " another name"
                )
    register(BACKBONES, "backbone", name, backbone)
