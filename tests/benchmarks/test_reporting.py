"""The JSON object of a comparison, and the options of the commands."""

from __future__ import annotations

import argparse

import jax
import pytest

from benchmarks.support import reporting
from benchmarks.support.measuring import Measured

OURS = Measured([1.0, 2.0, 6.0], 9.0, 300.0, {"compile_seconds": 4.0})
TORCH = Measured([4.0, 4.0, 1.0], 9.0, 400.0, {})


def test_report():
    result = reporting.report(
        "name", {"ours": OURS, "torch": TORCH}, sizes={"size": (1, 2)}, packages=("jax", "nobody's")
    )
    assert result.pop("versions") == {"jax": jax.__version__, "nobody's": None}
    assert result.pop("cores") >= 1
    assert result == {
        "benchmark": "name",
        "ours": {
            "seconds": 2.0,
            "spread": [1.0, 6.0],
            "peak_memory_mb": 300.0,
            "compile_seconds": 4.0,
        },
        "torch": {"seconds": 4.0, "spread": [1.0, 4.0], "peak_memory_mb": 400.0},
        "ratio": {"seconds": 0.5, "memory": 0.75},  # of the medians
        "sizes": {"size": (1, 2)},
    }


def test_no_memory_ratio_if_a_peak_is_unknown():
    unknown = Measured([1.0], 1.0, None, {})
    assert reporting.ratio(unknown, TORCH)["memory"] is None
    assert reporting.ratio(OURS, unknown)["memory"] is None


@pytest.mark.parametrize("text", ["256", "256,512,3", "0,4", "a,b"])
def test_wrong_size(text):
    with pytest.raises(ValueError):  # noqa: PT011 - argparse writes the message
        reporting.height_width(text)


def test_number_too_small():
    with pytest.raises(argparse.ArgumentTypeError, match="0 is less than 1"):
        reporting.at_least_one("0")


def test_no_torch(monkeypatch, capsys):
    monkeypatch.setattr(reporting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        reporting.need_torch(argparse.ArgumentParser())
    assert "pip install -e '.[convert]'" in capsys.readouterr().err
