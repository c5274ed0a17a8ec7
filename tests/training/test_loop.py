"""The loop over steps with a step that only counts."""

from __future__ import annotations

import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest

from msl_jax.training.loop import fit
from msl_jax.training.nonfinite import NotFinite
from msl_jax.training.state import TrainState


class Recorder:
    """Calls of the loop in order; the loss of step n is n, or what `losses` says.

    The only parameter is 1, and from step `broken` on not a number.
    """

    def __init__(self, losses: dict[int, float] | None = None, broken: int | None = None) -> None:
        self.calls: list[tuple] = []
        self.logged: dict[int, dict[str, float]] = {}
        self._losses = losses or {}
        self._broken = broken

    def step(self, state: TrainState, batch: int):
        made = int(state.step) + 1
        self.calls.append(("step", made, batch))
        loss = jnp.asarray(self._losses.get(made, float(made)))
        metrics = {"source/final": loss, "target/final": -loss / 2}
        if made == self._broken:
            state = state.replace(params={"w": jnp.float32(np.nan)})
        return state.replace(step=state.step + 1), metrics

    def on_step(self, made: int) -> None:
        self.calls.append(("on_step", made))

    def on_log(self, made: int, metrics: dict[str, float]) -> None:
        self.calls.append(("on_log", made))
        self.logged[made] = metrics

    def on_evaluate(self, state: TrainState) -> None:
        self.calls.append(("on_evaluate", int(state.step)))

    def at(self, name: str) -> list[int]:
        return [call[1] for call in self.calls if call[0] == name]

    def fit(self, **arguments) -> TrainState:
        return self.fit_until_stopped(**arguments)[0]

    def fit_until_stopped(
        self,
        *,
        steps: int,
        start: int = 0,
        log_every: int,
        eval_every: int,
        stop_at: int | None = None,
        window=(),
    ):
        params = {"w": jnp.float32(1)}
        state = TrainState(jnp.asarray(start), params=params, batch_stats={}, opt_state=())
        return fit(
            state,
            self.step,
            itertools.count(),
            steps=steps,
            log_every=log_every,
            eval_every=eval_every,
            on_step=self.on_step,
            on_log=self.on_log,
            on_evaluate=self.on_evaluate,
            stop_requested=lambda made: made == stop_at,
            recent_metrics=window,
        )


def test_calls_at_the_right_steps():
    recorder = Recorder()
    state = recorder.fit(steps=10, log_every=3, eval_every=4)
    assert int(state.step) == 10
    assert recorder.at("step") == recorder.at("on_step") == list(range(1, 11))
    assert recorder.at("on_evaluate") == [4, 8, 10]  # the last step always
    assert recorder.at("on_log") == [3, 4, 6, 8, 9, 10]  # figures before every evaluation
    assert [call[2] for call in recorder.calls if call[0] == "step"] == list(range(10))


def test_order_within_a_step():
    recorder = Recorder()
    recorder.fit(steps=1, log_every=5, eval_every=5)
    assert [call[0] for call in recorder.calls] == ["step", "on_step", "on_log", "on_evaluate"]


def test_logged_metrics_are_means_since_the_last_log():
    recorder = Recorder()
    recorder.fit(steps=6, log_every=4, eval_every=6)
    assert recorder.logged == {
        4: {"source/final": 2.5, "target/final": -1.25},
        6: {"source/final": 5.5, "target/final": -2.75},
    }
    assert all(type(value) is float for value in recorder.logged[4].values())


def test_continues_at_the_states_step():
    recorder = Recorder()
    recorder.fit(steps=9, start=5, log_every=3, eval_every=4)
    assert recorder.at("step") == [6, 7, 8, 9]
    assert recorder.at("on_evaluate") == [8, 9]
    assert recorder.at("on_log") == [6, 8, 9]


@pytest.mark.parametrize("start", [7, 8])
def test_nothing_left_to_do(start):
    recorder = Recorder()
    assert int(recorder.fit(steps=7, start=start, log_every=1, eval_every=1).step) == start
    assert recorder.calls == []


@pytest.mark.parametrize("stop", [0, 1, 3, 4, 5, 8, 9])
def test_stopped_and_continued_logs_what_it_would_have(stop):
    whole, parts = Recorder(), Recorder()
    whole.fit(steps=10, log_every=3, eval_every=4)
    arguments = {"steps": 10, "log_every": 3, "eval_every": 4}
    state, window = parts.fit_until_stopped(**arguments, stop_at=stop)
    assert int(state.step) == stop
    assert parts.at("on_evaluate") == [step for step in (4, 8) if step <= stop]
    parts.fit_until_stopped(**arguments, start=stop, window=json.loads(json.dumps(window)))
    assert parts.logged == whole.logged
    for name in ("step", "on_log", "on_evaluate"):
        assert parts.at(name) == whole.at(name)


def test_is_not_asked_to_stop_after_the_last_step():
    recorder = Recorder()
    state, window = recorder.fit_until_stopped(steps=3, log_every=5, eval_every=5, stop_at=3)
    assert int(state.step) == 3
    assert window == []
    assert recorder.at("on_evaluate") == [3]


def test_stops_with_figures_that_are_known_to_be_finite():
    recorder = Recorder({2: np.nan})
    with pytest.raises(NotFinite, match="at step 2:"):
        recorder.fit_until_stopped(steps=9, log_every=5, eval_every=5, stop_at=2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("bad", [1, 2, 3, 4, 7, 8, 10])
def test_stops_at_a_loss_that_is_not_finite(bad, value):
    """Wherever the step lies between logs and evaluations."""
    recorder = Recorder({bad: value})
    with pytest.raises(NotFinite) as caught:
        recorder.fit(steps=10, log_every=3, eval_every=4)
    message = str(caught.value)
    assert f"at step {bad}:" in message
    assert f"source/final = {value:g}" in message
    assert f"target/final = {-value / 2:g}" in message
    assert caught.value.step == bad
    assert recorder.at("on_evaluate") == [step for step in (4, 8) if step < bad]
    assert all(step < bad for step in recorder.at("on_log"))
    assert recorder.at("step")[-1] <= bad + 1  # it is seen one step later at most


@pytest.mark.parametrize("bad", [1, 2, 3, 4, 7, 8, 10])
def test_stops_at_a_network_that_is_not_finite_though_its_loss_is(bad):
    recorder = Recorder(broken=bad)
    with pytest.raises(
        NotFinite, match=rf"new parameters are not finite at step {bad}: "
    ) as caught:
        recorder.fit(steps=10, log_every=3, eval_every=4)
    assert caught.value.step == bad
    assert recorder.at("on_evaluate") == [step for step in (4, 8) if step < bad]
    assert all(step < bad for step in recorder.at("on_log"))
    assert recorder.at("step")[-1] <= bad + 1


def test_stops_with_a_network_that_is_known_to_be_finite():
    with pytest.raises(NotFinite, match="at step 2:"):
        Recorder(broken=2).fit_until_stopped(steps=9, log_every=5, eval_every=5, stop_at=2)
