"""The losses against golden values of the official code, and the command that compares the rest.

The full network and the three training steps take minutes, and programs so large that jaxlib has
crashed over them behind all the others: `.ci/run` has `python -m benchmarks.parity` compare them.
"""

from __future__ import annotations

import pytest

from benchmarks.parity import LOSSES, loss_figures, main
from benchmarks.support.goldens import FOLDER, Goldens
from benchmarks.support.parity_figures import PRECISIONS


@pytest.mark.parametrize("precision", PRECISIONS)
def test_losses(precision):
    if not FOLDER.is_dir():
        pytest.skip("the official golden values are not here (expected in ../shared/goldens)")
    figures = list(loss_figures(Goldens(FOLDER), precision))
    assert len(figures) == 2 * len(LOSSES)
    assert [f"{f.golden}, {f.kind}: {f.error}" for f in figures if not f.within] == []


def test_missing_goldens(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([f"--goldens={tmp_path}"])
    assert exit_info.value.code == 2
    message = capsys.readouterr().err
    assert f"no golden values in {tmp_path}: no official_losses.npz" in message
    assert "--goldens=DIR" in message
