"""SGD against its loops written out, the schedule, and who is trained."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from msl_jax.methods.segmentation import optimizer_groups, parameter_rules
from msl_jax.models import DeepLabV2, ResNet
from msl_jax.training.optimizer import FROZEN, Group, parameter_groups, poly_schedule, sgd

SHAPES = {"backbone": {"kernel": (2, 3), "scale": (3,)}, "head": {"bias": (4,)}, "stem": (2,)}
GROUPS = {
    "backbone": {"kernel": "backbone", "scale": "backbone"},
    "head": {"bias": "head"},
    "stem": FROZEN,
}


def _random_tree(seed: int):
    rng = np.random.default_rng(seed)
    is_shape = {"is_leaf": lambda leaf: isinstance(leaf, tuple)}
    return jax.tree.map(lambda shape: rng.normal(size=shape), SHAPES, **is_shape)


class TestPolySchedule:
    def test_values(self):
        schedule = poly_schedule(2.5e-4, 29_760)
        for step in (0, 1, 14_880, 29_749):
            expected = 2.5e-4 * (1 - step / 29_760) ** 0.9
            np.testing.assert_allclose(schedule(step), expected, rtol=1e-4)

    def test_other_power(self):
        np.testing.assert_allclose(poly_schedule(1.0, 4, power=2.0)(1), 0.75**2, rtol=1e-6)

    @pytest.mark.parametrize("step", [10, 11, 1000])
    def test_zero_from_the_end_on(self, step):
        assert poly_schedule(0.1, 10)(step) == 0


class TestParameterGroups:
    PARAMS = {"head": {"conv0": {"kernel": 1.0}}, "other_head": {"bias": 2.0}}  # noqa: RUF012

    def test_first_match_decides(self):
        rules = [("head/conv0/", "special"), ("head/", "head"), (".*_head/", "rest")]
        assert parameter_groups(self.PARAMS, rules) == {
            "head": {"conv0": {"kernel": "special"}},
            "other_head": {"bias": "rest"},
        }
        assert parameter_groups(self.PARAMS, rules[::-1])["head"]["conv0"]["kernel"] == "head"

    def test_a_parameter_without_a_rule(self):
        with pytest.raises(ValueError, match=r"other_head/bias matches none of the rules.*'head/'"):
            parameter_groups(self.PARAMS, [("head/", "head")])  # matches from the start only


class TestSgd:
    RATES = {"backbone": 1.0, "head": 10.0}  # noqa: RUF012

    def _run(self, steps: int, visits: int = 1, **options):
        """Parameters after some steps on random gradients; the backbone is visited repeatedly."""
        groups = {"backbone": Group(visits=visits), "head": Group(rate=self.RATES["head"])}
        optimizer = sgd(GROUPS, groups, poly_schedule(0.01, 10), **options)
        params = jax.tree.map(jnp.asarray, _random_tree(0))
        state = optimizer.init(params)

        @jax.jit
        def update(gradients, state, params):
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        for step in range(steps):
            params, state = update(_random_tree(1 + step), state, params)
        return params

    def _expected(self, steps: int, momentum: float, weight_decay: float, visits: int = 1):
        """The same in PyTorch's order, one array at a time, visit by visit."""
        params = flatten_dict(_random_tree(0))
        velocity = {name: np.zeros_like(p) for name, p in params.items()}
        groups = flatten_dict(GROUPS)
        for step in range(steps):
            rate = 0.01 * (1 - step / 10) ** 0.9
            for name, gradient in flatten_dict(_random_tree(1 + step)).items():
                if groups[name] == FROZEN:
                    continue
                for _ in range(visits if groups[name] == "backbone" else 1):
                    gradient = gradient + weight_decay * params[name]
                    velocity[name] = momentum * velocity[name] + gradient
                    factor = self.RATES[groups[name]]
                    params[name] = params[name] - factor * rate * velocity[name]
        return params

    @pytest.mark.parametrize("visits", [1, 3, 4])
    @pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 0.05), (0.9, 0.0), (0.0, 0.05)])
    def test_pytorch_order(self, x64, momentum, weight_decay, visits):
        # The rate itself is float32, whatever the parameters are; these are of order 1.
        found = self._run(4, visits, momentum=momentum, weight_decay=weight_decay)
        expected = self._expected(4, momentum, weight_decay, visits)
        for name, value in flatten_dict(found).items():
            np.testing.assert_allclose(
                value, expected[name], rtol=1e-6, atol=1e-7, err_msg=str(name)
            )

    def test_frozen_parameters_keep_every_bit(self):
        found = self._run(3, momentum=0.9, weight_decay=0.5)
        start = jax.tree.map(jnp.asarray, _random_tree(0))
        np.testing.assert_array_equal(found["stem"], start["stem"])
        assert not np.array_equal(found["head"]["bias"], start["head"]["bias"])


def _groups(model: DeepLabV2, *, multi: bool) -> dict[str, str]:
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 33, 33, 3)))["params"]
    groups = parameter_groups(params, parameter_rules(model, multi=multi))
    return {"/".join(name): group for name, group in flatten_dict(groups).items()}


class TestParameterRules:
    OFFICIAL = DeepLabV2(3, ResNet(14, 4))
    STEM = {"backbone/bn1/scale", "backbone/bn1/bias"}  # noqa: RUF012

    @staticmethod
    def _names(head: str, *numbers: int) -> set[str]:
        return {f"{head}/conv{i}/{leaf}" for i in numbers for leaf in ("kernel", "bias")}

    def _check(self, groups: dict[str, str], frozen: set[str], head: set[str]) -> None:
        def names(*wanted: str) -> set[str]:
            return {name for name, group in groups.items() if group in wanted}

        assert names(FROZEN) == frozen
        assert names("head") == head
        assert names("stem") == {"backbone/conv1/kernel"}
        # A convolution and batch norm of each of the four stages.
        assert names("downsample") == {
            f"backbone/layer{stage}_0/downsample_{leaf}"
            for stage in range(1, 5)
            for leaf in ("conv/kernel", "bn/scale", "bn/bias")
        }
        assert names("stem", "downsample", "blocks") == groups.keys() - frozen - head
        assert "backbone/layer1_0/bn1/scale" in names("blocks")  # only the stem's is frozen

    def test_multi(self):
        inactive = self._names("final_head", 2, 3) | self._names("low_head", 2, 3)
        active = self._names("final_head", 0, 1) | self._names("low_head", 0, 1)
        self._check(_groups(self.OFFICIAL, multi=True), self.STEM | inactive, active)

    def test_single_head(self):
        frozen = self._names("final_head", 2, 3) | self._names("low_head", 0, 1, 2, 3)
        groups = _groups(self.OFFICIAL, multi=False)
        self._check(groups, self.STEM | frozen, self._names("final_head", 0, 1))

    def test_all_rates_active(self):
        model = self.OFFICIAL.clone(active_dilations=self.OFFICIAL.aspp_dilations)
        heads = self._names("final_head", 0, 1, 2, 3) | self._names("low_head", 0, 1, 2, 3)
        self._check(_groups(model, multi=True), self.STEM, heads)


def test_repeated_visits_of_the_official_network():
    model, names = DeepLabV2(19), ("stem", "downsample", "blocks", "head")
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 33, 33, 3)))
    rules = parameter_rules(model, multi=True)
    labels = list(flatten_dict(parameter_groups(params["params"], rules)).values())
    # Counts of the official optimizer's list: 1, 12, 297 parameters and two heads of two
    # convolutions with biases.
    assert [labels.count(name) for name in names] == [1, 12, 297, 8]
    groups = optimizer_groups(model, 10.0, repeated_visits=True)
    assert [groups[name].visits for name in names] == [1, 4, 3, 1]
    assert [groups[name].rate for name in names] == [1, 1, 1, 10]
    once = optimizer_groups(model, 10.0, repeated_visits=False)
    assert {group.visits for group in once.values()} == {1}
