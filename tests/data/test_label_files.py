"""Label maps in colours, with palettes of others, and in train ids; what is in neither is named."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import (
    SIZE,
    all_ids,
    mapped,
    write_cityscapes,
    write_crosscity,
    write_gta5,
    write_ids,
    write_rgb16,
    write_synthia,
)

from msl_jax.data.datasets.cityscapes import Cityscapes
from msl_jax.data.datasets.class_file import listed_colors, listed_ids, read_classes
from msl_jax.data.datasets.crosscity import CrossCity
from msl_jax.data.datasets.gta5 import GTA5
from msl_jax.data.datasets.registry import open_dataset
from msl_jax.data.datasets.synthia import SYNTHIA
from msl_jax.data.label_files import LabelReader, read_label_ids
from msl_jax.data.label_sets import CITYSCAPES_LABELS, LABEL_SETS, are_train_ids
from msl_jax.data.labels import IGNORE, LabelSet
from msl_jax.data.prepared.records import prepare
from msl_jax.runtime.errors import UserError

CAR, SKY, ROAD = (0, 0, 142), (70, 130, 180), (128, 64, 128)
COLORS = {CAR: (0,), SKY: (1,), ROAD: (3,), (9, 9, 9): (IGNORE,)}
IDS = np.resize(np.array([0, 1, 1, 3, 3, 3], np.uint8), SIZE)
READ = LabelReader(COLORS, by_color=True)


def _drawn(ids: np.ndarray, colors: dict[int, tuple[int, int, int]]) -> Image.Image:
    pixels = np.zeros((*ids.shape, 3), np.uint8)
    for label_id, color in colors.items():
        pixels[ids == label_id] = color
    return Image.fromarray(pixels)


def _save(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


class TestColors:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    @pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
    def test_listed_colours_are_read_as_ids(self, tmp_path, mode: str, suffix: str) -> None:
        image = _drawn(IDS, {0: CAR, 1: SKY, 3: ROAD}).convert(mode)
        reader = pickle.loads(pickle.dumps(READ))
        ids = reader(_save(tmp_path / f"a{suffix}", image))
        assert ids.dtype == np.uint8
        np.testing.assert_array_equal(ids, IDS)

    def test_colour_that_does_not_count(self, tmp_path) -> None:
        image = _drawn(IDS, {0: (9, 9, 9), 1: SKY, 3: ROAD})
        ids = READ(_save(tmp_path / "a.png", image))
        np.testing.assert_array_equal(ids, np.where(IDS == 0, IGNORE, IDS))

    def test_other_colour_is_named_with_its_position(self, tmp_path) -> None:
        image = _drawn(IDS, {0: CAR, 1: SKY, 3: ROAD})
        image.putpixel((7, 4), (128, 64, 127))
        message = r"a\.png: the colour \(128, 64, 127\) at x=7, y=4 is none of the 4 listed"
        with pytest.raises(UserError, match=message + r" colours, as are 0\.42% of the pixels"):
            READ(_save(tmp_path / "a.png", image))

    def test_pixel_that_is_not_opaque(self, tmp_path) -> None:
        image = _drawn(IDS, {0: CAR, 1: SKY, 3: ROAD}).convert("RGBA")
        image.putpixel((2, 3), (*ROAD, 254))
        with pytest.raises(UserError, match=r"the colour \(128, 64, 128, 254\) at x=2, y=3"):
            READ(_save(tmp_path / "a.png", image))

    def test_classes_that_share_a_colour(self, tmp_path) -> None:
        path = _save(tmp_path / "a.png", _drawn(IDS, {0: CAR, 1: SKY, 3: SKY}))
        shared = LabelReader({CAR: (0,), SKY: (1, 3)}, by_color=True)
        with pytest.raises(UserError, match="ids 1 and 3 share a colour"):
            shared(path)
        assert (
            LabelReader({CAR: (0,), SKY: (1, 3)}, by_color=True)(write_ids(path, IDS)) == IDS
        ).all()

    def test_16_bits_a_channel_are_refused(self, tmp_path) -> None:
        path = write_rgb16(tmp_path / "a.png", np.zeros((*SIZE, 3)))
        with pytest.raises(UserError, match="ids expected, found an RGB image of 16 bits"):
            READ(path)

    def test_compression_with_loss_is_refused(self, tmp_path) -> None:
        path = tmp_path / "a.tiff"
        _drawn(IDS, {0: CAR, 1: SKY, 3: ROAD}).save(path, compression="jpeg")
        with pytest.raises(UserError, match=r"a\.tiff: a TIFF that is compressed as jpeg, with"):
            READ(path)

    def test_colours_are_refused_where_none_are_listed(self, tmp_path) -> None:
        path = _save(tmp_path / "a.png", _drawn(IDS, {0: CAR}))
        with pytest.raises(UserError, match="ids expected, found an RGB image"):
            read_label_ids(path)

    def test_class_file(self, tmp_path) -> None:
        path = tmp_path / "c.yaml"
        path.write_text(
            "classes:\n  - {id: 4, name: a, color: [1, 2, 3]}\n  - {id: 5, name: b, color: [1, 2,"
            " 3]}\nignored: [7, [0, 0, 9]]"
        )
        classes = read_classes(path)
        assert listed_colors(classes) == {(1, 2, 3): (4, 5), (0, 0, 9): (IGNORE,)}
        assert listed_ids(classes) == {4: 0, 5: 1, 7: IGNORE, 255: IGNORE}
        assert LabelSet.from_json(json.loads(json.dumps(classes.to_json()))) == classes


def _palette(ids: np.ndarray, colors: dict[int, tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(ids)
    entries = [colors.get(index, (0, 0, 0)) for index in range(256)]
    image.putpalette(np.array(entries, np.uint8).tobytes())
    return image


class TestPalettes:
    def test_palettes_that_do_not_contradict(self, tmp_path) -> None:
        """The listed colours, others, grey, or black."""
        for colors in (
            {0: CAR, 1: SKY, 3: ROAD},
            {0: (1, 2, 3), 1: (200, 200, 0), 3: (90, 1, 1)},
            {index: (index,) * 3 for index in range(256)},
            {},
        ):
            np.testing.assert_array_equal(
                READ(_save(tmp_path / "a.png", _palette(IDS, colors))), IDS
            )

    @pytest.mark.parametrize("tool", ["optimizer", "conversion"])
    def test_reordered_palette_is_refused(self, tmp_path, tool: str) -> None:
        image = _palette(IDS, {0: SKY, 1: CAR, 3: ROAD})
        if tool == "conversion":
            drawn = _drawn(IDS, {0: CAR, 1: SKY, 3: ROAD})
            image = drawn.convert("P", palette=Image.Palette.ADAPTIVE, colors=3)
        with pytest.raises(UserError, match=r"a\.png: the palette contradicts the listed colours"):
            READ(_save(tmp_path / "a.png", image))

    def test_entries_that_do_not_occur_may_be_anything(self, tmp_path) -> None:
        colors = {0: CAR, 1: SKY, 3: ROAD, 2: CAR, 9: SKY}
        np.testing.assert_array_equal(READ(_save(tmp_path / "a.png", _palette(IDS, colors))), IDS)

    def test_gta5(self, tmp_path) -> None:
        """Evaluated classes have Cityscapes' colours there; a few others share them."""
        root = write_gta5(tmp_path, (1,))
        colors = {label.id: label.color for label in CITYSCAPES_LABELS} | {34: (0, 0, 142)}
        label = root / "labels" / "00001.png"
        _palette(np.asarray(Image.open(label)), colors).save(label)
        assert GTA5(root).examples("train")[0].read()[1] is not None
        shifted = {index: colors[(index + 1) % 34] for index in range(34)}
        _palette(np.asarray(Image.open(label)), shifted).save(label)
        with pytest.raises(UserError, match="the palette contradicts the listed colours: index 6"):
            GTA5(root).examples("train")[0].read()


# Road, building, vegetation, sky and car, in train ids.
STREET = np.resize(np.array([0, 0, 0, 2, 8, 8, 10, 13, 19], np.uint8), SIZE)


def _cityscapes(root: Path, label: np.ndarray) -> Cityscapes:
    for path in write_cityscapes(root).glob("gtFine/*/*/*_labelIds.png"):
        write_ids(path, label)
    return Cityscapes(root)


def _gta5(root: Path, label: np.ndarray) -> GTA5:
    for path in (write_gta5(root, (1, 2)) / "labels").iterdir():
        write_ids(path, label)
    return GTA5(root)


def _synthia(root: Path, label: np.ndarray) -> SYNTHIA:
    for path in (write_synthia(root, (0, 1)) / "GT" / "LABELS").iterdir():
        write_ids(path, label)
    return SYNTHIA(root)


def _synthia_of_16_bits(root: Path, label: np.ndarray) -> SYNTHIA:
    for path in (write_synthia(root, (0, 1)) / "GT" / "LABELS").iterdir():
        write_rgb16(path, np.stack([label, label, label], -1))
    return SYNTHIA(root)


class TestTrainIds:
    @pytest.mark.parametrize("void", [19, IGNORE])
    @pytest.mark.parametrize("make", [_cityscapes, _gta5, _synthia, _synthia_of_16_bits])
    def test_copies_are_recognised_and_read_if_asked(self, tmp_path, make, void: int) -> None:
        label = np.where(STREET == 19, void, STREET)
        dataset = make(tmp_path / "data", label)
        message = rf"{dataset.name}/train: the labels below .* are train ids .*found \[0, 2, 8, 10,"
        with pytest.raises(UserError, match=message) as caught:
            prepare(dataset, "train", (6, 10), tmp_path / "records")
        assert "config.source_label_ids=train" in str(caught.value)
        assert not (tmp_path / "records").exists()
        dataset = open_dataset(dataset.name, dataset.root, 19, label_ids="train")
        records = prepare(dataset, "train", SIZE, tmp_path / "records")
        expected = np.where(STREET == 19, IGNORE, STREET)
        np.testing.assert_array_equal(records[0]["label"], expected)

    def test_other_numbers_of_classes(self, tmp_path) -> None:
        root = _gta5(tmp_path, all_ids(range(20))).root
        _, label = GTA5(root, 16, "train").examples("train")[0].read()
        names, subset = LABEL_SETS["cityscapes19"].names, LABEL_SETS["cityscapes16"].names
        ids = {i: subset.index(name) for i, name in enumerate(names) if name in subset}
        np.testing.assert_array_equal(label, mapped(all_ids(range(20)), ids))

    def test_files_of_cityscapes_scripts(self, tmp_path) -> None:
        root = _cityscapes(tmp_path, STREET).root
        for path in list(root.glob("gtFine/*/*/*_labelIds.png")):
            path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
        for refused in (Cityscapes.examples, Cityscapes.expect_encoding):
            with pytest.raises(UserError, match=r"labelTrainIds\.png is there.*label_ids=train"):
                refused(Cityscapes(root), "train")
        _, label = Cityscapes(root, 19, "train").examples("train")[0].read()
        np.testing.assert_array_equal(label, np.where(STREET == 19, IGNORE, STREET))

    def test_crosscity(self, tmp_path) -> None:
        root = write_crosscity(tmp_path)
        CrossCity(root).expect_encoding("Rome_test")
        for path in (root / "Rome" / "Labels" / "Test").iterdir():
            write_ids(path, all_ids(range(13)))
        with pytest.raises(UserError, match="train ids 0-12"):
            CrossCity(root).examples("Rome_test")[0].read()
        _, label = CrossCity(root, 13, "train").examples("Rome_test")[0].read()
        np.testing.assert_array_equal(label, all_ids(range(13)))

    @pytest.mark.parametrize("name", ["camvid", "demo", "folders", "class_folders"])
    def test_data_sets_without_such_copies(self, tmp_path, name: str) -> None:
        with pytest.raises(UserError, match=f"{name}: its labels have ids of one kind alone"):
            open_dataset(name, tmp_path, label_ids="train")

    def test_the_data_sets_own_ids_are_not_mistaken(self, tmp_path) -> None:
        for dataset in (
            Cityscapes(write_cityscapes(tmp_path / "c")),
            GTA5(write_gta5(tmp_path / "g", (1, 2))),
            SYNTHIA(write_synthia(tmp_path / "s", (0, 1))),
        ):
            dataset.expect_encoding("train")
        cityscapes19 = LABEL_SETS["cityscapes19"]
        tunnel = {0: 100, 4: 50, 7: 300, 11: 20, 17: 5}
        assert not are_train_ids(tunnel, 7, cityscapes19)
        assert not are_train_ids({0: 100}, 7, cityscapes19)
        assert not are_train_ids({0: 100, 7: 50, 23: 50}, 7, cityscapes19)
        assert not are_train_ids({}, 7, cityscapes19)
