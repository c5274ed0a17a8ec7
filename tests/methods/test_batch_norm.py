"""Each stage trains the network with the batch norm that the configuration asks for."""

from __future__ import annotations

from typing import Any

import pytest

from msl_jax.methods import registry
from msl_jax.methods.registry import training_of
from msl_jax.tasks.registry import build_model


@pytest.mark.parametrize("adapt", [False, True])
@pytest.mark.parametrize("source", [False, True])
@pytest.mark.parametrize("target", [False, True])
def test_frozen(
    monkeypatch: pytest.MonkeyPatch, tiny_config: Any, source: bool, target: bool, adapt: bool
) -> None:
    config = tiny_config(source_frozen_batch_norm=source, frozen_batch_norm=target)
    given = []

    class Method:
        def training(self, config: Any, model: Any, params: Any) -> None:
            given.append(model.frozen_batch_norm)

    monkeypatch.setattr(registry, "method_of", lambda config, adapt: Method())
    training_of(config, build_model(config), {}, adapt=adapt)
    assert given == [target if adapt else source]
