"""The pictures of the README: what is chosen, what is drawn, what is refused."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from made_results import MIOU, write_results
from PIL import Image

from benchmarks.first_screen.__main__ import main
from msl_jax.commands.train import train
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.data.labels import IGNORE
from msl_jax.runtime.errors import UserError

pytest.importorskip("matplotlib", reason="matplotlib is missing")
from benchmarks.first_screen import chart, strip
from benchmarks.first_screen.theme import DARK, LIGHT

ROOT = Path(__file__).parents[2]
CLASSES = LABEL_SETS["demo"]


def _shown(right_before: int, right_after: int) -> strip.Shown:
    """An image of 8 labelled pixels, and ignored ones that every prediction has right or wrong."""
    label = np.full((4, 4), IGNORE, np.uint8)
    label[:2] = 1

    def predicted(right: int) -> np.ndarray:
        found = np.full(16, 2, np.uint8)
        found[:right] = 1
        return found.reshape(4, 4)

    image = np.full((4, 4, 3), 100, np.uint8)
    return strip.Shown(image, predicted(right_before), predicted(right_after), label)


def test_gain_of_labelled_pixels() -> None:
    assert _shown(2, 6).gain == 0.5
    assert _shown(8, 4).gain == -0.5
    assert _shown(8, 16).gain == 0  # the last eight are not labelled


def test_images_are_not_picked_by_hand() -> None:
    gains = [0, 4, 2, 1, 3]
    chosen = strip.at_quantiles([_shown(0, gain) for gain in gains])
    assert [shown.gain for shown in chosen] == [3 / 8, 2 / 8, 1 / 8]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_strip(theme, tmp_path: Path) -> None:
    large = [np.kron(part, np.ones((24, 40, 1)[: part.ndim], np.uint8)) for part in _shown(8, 4)]
    shown = strip.Strip([strip.Shown(*large)] * 3, (0.3, 0.4567), CLASSES)
    figure = strip.draw(shown, theme)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert {"target mIoU 30.0 %", "target mIoU 45.7 %", *CLASSES.names} <= texts
    strip.write(figure, tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as picture:
        pixels = np.asarray(picture.convert("RGBA"))
    first, last = strip.HEAD + 2, strip.HEAD + 3 * 2 * 96 + 2 * strip.GAP - 2
    columns = [column * (320 + strip.GAP) + 2 for column in range(4)]
    one, two = (CLASSES.classes[index].color for index in (1, 2))
    # The label is 1 above and ignored below, the predictions 1 above and 2 below or half as far.
    photo, ignored = (100,) * 3, (0,) * 3
    expected = {first: [photo, one, one, one], last: [photo, two, two, ignored]}
    for row, colors in expected.items():
        found = [tuple(pixels[row, column, :3].tolist()) for column in columns]
        assert found == colors
    assert pixels[0, 0, 3] == (255 if theme is LIGHT else 0)


def test_rows_of_the_chart(tmp_path: Path) -> None:
    write_results(tmp_path / "camvid_scratch", {**MIOU, "max_square_iw_multi": {1: (0.25, 0.38)}})
    source, control, guided, _ = chart.read_rows(tmp_path, chart.PARTS[2])
    assert source.seeds == [25]
    assert (control.kind, control.mean, control.over_control) == ("control", 37, None)
    assert guided.over_control == pytest.approx(3)


def test_a_missing_row_is_named(tmp_path: Path) -> None:
    write_results(tmp_path / "camvid_scratch", {"oracle": {0: (None, 0.5)}})
    with pytest.raises(
        UserError, match="camvid_scratch: no results of source, which the chart shows"
    ):
        list(chart.read_rows(tmp_path, chart.PARTS[1]))


def test_chart_of_the_kept_results(tmp_path: Path) -> None:
    """The chart in docs/images is that of docs/results."""
    for theme in (LIGHT, DARK):
        name = f"results-{theme.name}"
        chart.write(chart.draw(ROOT / "docs" / "results", theme), tmp_path, name)
        kept = (ROOT / "docs" / "images" / f"{name}.svg").read_text()
        texts = [chart_texts(text) for text in (kept, (tmp_path / f"{name}.svg").read_text())]
        assert texts[0] == texts[1]
        assert {"48.8", "44.9", "+0.7", "\N{MINUS SIGN}0.6", "Oracle"} <= set(texts[0])


def chart_texts(svg: str) -> list[str]:
    """The texts of an SVG in their order, without what another matplotlib would change."""
    return [part.partition("</text>")[0].rpartition(">")[2] for part in svg.split("<text")[1:]]


@pytest.mark.parametrize("found", ["no run", "camvid/dusk_test"])
def test_only_drawn_images_are_published(found: str, tiny_config, tmp_path: Path) -> None:
    if found != "no run":
        (tmp_path / "config.json").write_text(tiny_config(target_eval=found).to_json())
    with pytest.raises(UserError, match=f"expected a finished run of the demo .*; found {found}"):
        main([f"--workdir={tmp_path}", f"--output={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_command(tmp_path: Path) -> None:
    """From a run of the demo, cut short."""
    config = runpy.run_path(str(ROOT / "configs" / "demo.py"))["get_config"]()
    config.source_steps, config.steps, config.eval_every = 2, 2, 2
    results = train(config, str(tmp_path / "run"))
    main([f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'out'}"])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"demo-light.png", "demo-dark.png", "results-light.svg", "results-dark.svg"}
    shown = strip.read_strip(tmp_path / "run")
    assert shown.miou == tuple(results[s]["target"]["miou"] for s in ("source_only", "final"))
    assert len(shown.images) == 3
    (tmp_path / "run" / "results.json").unlink()
    with pytest.raises(UserError, match=r"results\.json"):
        strip.read_strip(tmp_path / "run")
