"""The benchmark of the losses: both sides compute the same, and the command prints the result."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import losses
from benchmarks.support import our_losses
from benchmarks.support.work import GUIDANCE_THRESHOLD

pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")

from benchmarks.support import torch_losses

SIZE = (33, 49)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_both_sides_compute_the_same(loss):
    arguments = {"loss": loss, "size": SIZE}
    value, gradients = our_losses.value_and_gradient(**arguments).run()
    expected_value, *expected = torch_losses.value_and_gradient(**arguments).run()
    np.testing.assert_allclose(value, expected_value.item(), rtol=1e-5)
    assert len(gradients) == len(expected) == (2 if loss == "guidance" else 1)
    for gradient, torch_gradient in zip(gradients, expected, strict=True):
        other = torch_gradient.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


def test_some_pixels_pass_the_guidance_threshold():
    final = losses.inputs(SIZE)[0]
    p = np.exp(final - final.max(-1, keepdims=True))
    sure = (p / p.sum(-1, keepdims=True)).max(-1) > GUIDANCE_THRESHOLD
    assert 0.01 < sure.mean() < 0.5


def test_the_command_prints_every_comparison(capsys, monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", ("max_square_iw",))
    assert losses.main(["--size=17,25", "--rounds=1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["benchmark"] == "losses"
    assert result["sizes"] == {
        "image": [17, 25],
        "logits": [3, 4],
        "classes": 19,
        "batch": 1,
        "rounds": 1,
    }
    sides = result["losses"]["max_square_iw"]
    medians = [sides[side]["seconds"] for side in ("ours", "torch")]
    assert min(medians) > 0
    assert sides["ratio"]["seconds"] == medians[0] / medians[1]


@pytest.mark.parametrize("option", ["--size=0,8", "--size=8", "--rounds=0"])
def test_wrong_options_are_refused(option):
    with pytest.raises(SystemExit):
        losses.main([option])
