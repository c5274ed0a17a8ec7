"""Where the notebooks find the demo's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from msl_jax.analysis.demo_run import demo_config
from msl_jax.runtime.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", [ROOT, ROOT / "notebooks"], ids=["root", "notebooks"])
def test_inside_the_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    config = demo_config("minent")
    assert (config.name, config.variant) == ("demo", "minent")


def test_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"is not inside a clone of this repository \(there is no configs/demo"
    ):
        demo_config("minent")


def test_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert demo_config("minent", steps=80).steps == 80
    monkeypatch.setenv("MSL_JAX_NOTEBOOK_STEPS", "20")
    config = demo_config("minent", steps=80)
    assert (config.source_steps, config.steps) == (20, 20)
