"""The cost model, in cases where the result is obvious."""

from __future__ import annotations

import json

import pytest

from benchmarks.cost_model import Figures, cost, main

# Messages and evaluations are free.
PLAIN = Figures(0.5, images=1000, latency=0.0, evaluations=1, evaluation_seconds=0.0, disk_mb=1e9)


def test_one_device_only_pays_for_compute() -> None:
    point = cost(1, PLAIN)
    assert point["all_reduce_seconds"] == 0
    assert point["steps"] == 1000
    assert point["hours"] == pytest.approx(1000 * 0.5 / 3600)


def test_many_devices_pay_for_the_sum_of_gradients() -> None:
    point = cost(100, PLAIN._replace(gradient_mb=1000.0, bandwidth_gb=10.0))
    assert point["steps"] == 10
    assert point["step_seconds"] == pytest.approx(0.5 + 2 * 0.99 * 0.1)
    assert point["device_hours"] == pytest.approx(100 * point["hours"])


def test_slow_input_decides() -> None:
    point = cost(16, PLAIN._replace(input_rate=8.0, devices_per_host=4))
    assert point["step_seconds"] == point["input_seconds"] == 2 * 4 / 8


def test_evaluation_is_spread_over_devices_and_checkpoints_are_not() -> None:
    figures = PLAIN._replace(
        evaluations=2, evaluation_images=100, evaluation_seconds=1.0, checkpoint_mb=50, disk_mb=10
    )
    one, eight = cost(1, figures), cost(8, figures)
    assert (one["evaluation_seconds"], eight["evaluation_seconds"]) == (100, 13)
    assert one["checkpoint_seconds"] == eight["checkpoint_seconds"] == 5
    assert one["hours"] == pytest.approx((500 + 2 * 105) / 3600)


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--step-seconds", "0.3", "--devices", "1", "256", "--bandwidth-gb", "25"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [point["devices"] for point in printed["points"]] == [1, 256]
    assert printed["sizes"]["bandwidth_gb"] == 25
