"""Cityscapes of pix2pix: ids out of blurred colours, halves of a file, and what is refused."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import write_cityscapes_pix2pix, write_side_by_side

from msl_jax.data import check, prepare
from msl_jax.data.check import check_pair
from msl_jax.data.datasets.cityscapes_pix2pix import (
    UNCLEAR,
    CityscapesPix2pix,
    nearest_ids,
    without_lines,
)
from msl_jax.data.label_sets import CITYSCAPES_LABELS
from msl_jax.data.prepared.records import prepare as prepare_records
from msl_jax.runtime.errors import UserError

ROAD, SKY, CAR, BLACK = (128, 64, 128), (70, 130, 180), (0, 0, 142), (0, 0, 0)
TILE = 32
COLORS = [label.color for label in CITYSCAPES_LABELS]
# What each colour is read as: the void classes that are black are one, polegroup is pole.
READ_AS = {
    **{label.name: label.id for label in CITYSCAPES_LABELS},
    **dict.fromkeys(("ego vehicle", "rectification border", "out of roi", "static"), 0),
    "polegroup": 17,
}
TRAIN_IDS_7 = {
    **{"road": 0, "sidewalk": 1, "terrain": 1, "person": 2, "rider": 2, "sky": 6},
    **dict.fromkeys(("car", "truck", "bus", "train", "motorcycle", "bicycle"), 3),
    **dict.fromkeys(("wall", "fence", "pole", "polegroup", "traffic light", "traffic sign"), 4),
    **dict.fromkeys(("building", "vegetation"), 5),
}
TRAIN_IDS_10 = {
    **{"road": 0, "sidewalk": 1, "building": 2, "pole": 3, "polegroup": 3, "traffic sign": 4},
    **{"vegetation": 5, "sky": 6, "person": 7, "car": 8, "bicycle": 9},
}
TRAIN_IDS_19 = {label.name: label.train_id for label in CITYSCAPES_LABELS} | {"polegroup": 5}


def _tiles() -> np.ndarray:
    """A label `[256, 256, 3]` in whose tiles all of Cityscapes' classes follow each other."""
    order = np.resize(np.arange(len(COLORS)), (8, 8))
    return np.array(COLORS, np.uint8)[order].repeat(TILE, 0).repeat(TILE, 1)


def _middles(pixels: np.ndarray) -> list[int]:
    """The value that each tile has throughout, its edge left out."""
    inner = pixels.reshape(8, TILE, 8, TILE).swapaxes(1, 2)[:, :, 4:-4, 4:-4].reshape(64, -1)
    assert (inner == inner[:, :1]).all()
    return inner[: len(COLORS), 0].tolist()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_cityscapes_pix2pix(tmp_path / "cityscapes")


def _read(root: Path, num_classes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    (first, *_) = CityscapesPix2pix(root, num_classes).examples("val")
    image, label = pickle.loads(pickle.dumps(first)).read()
    assert label is not None
    return image, label


def test_splits(root: Path, capsys) -> None:
    dataset = CityscapesPix2pix(root)
    assert [example.key for example in dataset.examples("train")] == ["1", "2", "10"]
    assert [example.key for example in dataset.examples("val")] == ["1", "3"]
    assert "cityscapes_pix2pix/train: 3 of the 2975 published" in capsys.readouterr().err
    assert dataset.expected == {"train": 2975, "val": 500}
    assert dataset.labelled("train")
    assert dataset.labels_without_image() == []
    with pytest.raises(UserError, match=r"no split 'test'; choose one of \['train', 'val'\]"):
        dataset.examples("test")


def test_halves(root: Path) -> None:
    image, label = _read(root)
    assert image.shape == (256, 256, 3)
    assert image.dtype == label.dtype == np.uint8
    wanted = np.stack(np.meshgrid(np.arange(256), np.arange(256), indexing="ij"), -1)
    assert np.abs(image[..., ::2].astype(int) - wanted)[:, :-2].max() < 20
    assert (label[1:127, 1:-1] == 10).all()  # sky above, road below
    assert (label[129:255, 1:-1] == 0).all()


@pytest.mark.parametrize("quality", [60, 95])
@pytest.mark.parametrize(
    ("num_classes", "train_ids"), [(19, TRAIN_IDS_19), (7, TRAIN_IDS_7), (10, TRAIN_IDS_10)]
)
def test_classes(root: Path, num_classes: int, train_ids: dict[str, int], quality: int) -> None:
    write_side_by_side(root / "val" / "1.jpg", _tiles(), quality)
    wanted = [train_ids.get(label.name, 255) for label in CITYSCAPES_LABELS]
    assert _middles(_read(root, num_classes)[1]) == wanted


def test_classes_of_the_benchmarks(root: Path) -> None:
    for number in (19, 16, 13):
        assert CityscapesPix2pix(root, number).label_set.name == f"cityscapes{number}"
    assert CityscapesPix2pix(root).label_set.num_classes == 19


class TestColours:
    def test_every_colour_has_its_id(self) -> None:
        wanted = [READ_AS[label.name] for label in CITYSCAPES_LABELS]
        assert nearest_ids(np.array([COLORS], np.uint8)).tolist() == [wanted]

    def test_nearest_one_counts(self) -> None:
        # Truck is (0, 0, 70), caravan (0, 0, 90), trailer (0, 0, 110), car (0, 0, 142).
        blues = [(0, 0, blue) for blue in (75, 84, 99, 101, 123, 130)]
        assert nearest_ids(np.array([blues], np.uint8)).tolist() == [[27, 29, 29, 30, 30, 26]]

    def test_far_from_all_is_unclear(self) -> None:
        row = [(128, 64, 128), (128, 24, 128), (128, 23, 128), (255, 255, 255)]
        assert nearest_ids(np.array([row], np.uint8)).tolist() == [[7, 7, UNCLEAR, UNCLEAR]]

    def test_agrees_with_distances_one_by_one(self, rng: np.random.Generator) -> None:
        label = rng.integers(0, 256, (40, 50, 3), np.uint8)
        ids = nearest_ids(label)
        for row, column in rng.integers(0, (40, 50), (200, 2)):
            distance = {
                READ_AS[known.name]: np.linalg.norm(known.color - label[row, column].astype(int))
                for known in CITYSCAPES_LABELS
            }
            nearest = min(distance.values())
            if nearest > 40:
                assert ids[row, column] == UNCLEAR
            else:
                assert distance[int(ids[row, column])] == nearest


class TestLines:
    def test_one_pixel_wide_is_unclear_and_two_are_not(self) -> None:
        ids = np.full((9, 12), 7, np.uint8)
        ids[:, 2], ids[:, 6:8], ids[4, 10] = 12, 17, 12
        wanted = ids.copy()
        wanted[ids == 12] = UNCLEAR
        np.testing.assert_array_equal(without_lines(ids), wanted)

    def test_corners_and_the_frame_stay(self) -> None:
        ids = np.full((6, 6), 7, np.uint8)
        ids[:2, :2] = 23
        np.testing.assert_array_equal(without_lines(ids), ids)

    def test_line_along_the_frame(self) -> None:
        ids = np.full((6, 6), 7, np.uint8)
        ids[0] = 27
        assert (without_lines(ids)[0] == UNCLEAR).all()
        assert (without_lines(ids)[1:] == 7).all()

    def test_mixture_of_two_classes_is_no_third(self, root: Path) -> None:
        """Cars below a black border: what scaling down makes of the edge has truck's colour."""
        label = np.empty((256, 256, 3), np.uint8)
        label[:100], label[100:] = BLACK, CAR
        label[100] = np.mean([BLACK, CAR], 0)
        assert nearest_ids(label)[100, 0] == 27
        write_side_by_side(root / "val" / "1.jpg", label, 95)
        found = _read(root)[1]
        assert set(np.unique(found)) == {13, 255}
        assert (found[104:] == 13).all()


class TestRefused:
    @pytest.fixture
    def path(self, root: Path) -> Path:
        return root / "val" / "1.jpg"

    @pytest.mark.parametrize("size", [(256, 256), (1024, 256), (256, 512), (600, 600), (512, 255)])
    def test_other_shape(self, root: Path, path: Path, size: tuple[int, int]) -> None:
        Image.new("RGB", size).save(path)
        message = rf"val/1\.jpg: 512x256 pixels expected.*found {size[0]}x{size[1]}\. "
        with pytest.raises(UserError, match=message):
            _read(root)
        (problem,) = check_pair(CityscapesPix2pix(root).pairs("val")[0]).problems
        assert problem.kind == check.WRONG_FORMAT

    @pytest.mark.parametrize("place", [(0, 0), (100, 33), (232, 232)])
    def test_unknown_colour_is_named_with_its_place(
        self, root: Path, path: Path, place: tuple[int, int]
    ) -> None:
        label = _tiles()
        top, left = place
        label[top : top + 24, left : left + 24] = (10, 240, 20)
        write_side_by_side(path, label)
        with pytest.raises(UserError, match=r"val/1\.jpg: .* area of the colour \(") as caught:
            _read(root)
        words = str(caught.value).replace(",", " ").replace("(", " ").replace(")", " ").split()
        at = words.index("colour")
        color = [int(word) for word in words[at + 1 : at + 4]]
        assert np.abs(np.subtract(color, (10, 240, 20))).max() < 20
        (x,) = (int(word[2:]) for word in words if word.startswith("x="))
        (y,) = (int(word[2:]) for word in words if word.startswith("y="))
        assert left <= x - 256 < left + 24
        assert top <= y < top + 24
        (problem,) = check_pair(CityscapesPix2pix(root).pairs("val")[0]).problems
        assert problem.kind == check.UNKNOWN_IDS

    def test_small_spots_and_thin_stripes_are_unclear(self, root: Path, path: Path) -> None:
        """As where bollards stand side by side."""
        label = np.empty((256, 256, 3), np.uint8)
        label[:] = ROAD
        label[50:56, 50:56] = (255, 255, 255)
        label[100:140, 100:140:3] = (255, 255, 255)
        write_side_by_side(path, label, 95)
        found = _read(root)[1]
        assert (found[51:55, 51:55] == 255).all()
        assert (found[:40, 2:-2] == 0).all()

    def test_swapped_halves(self, root: Path, path: Path) -> None:
        pair = np.array(Image.open(path))
        Image.fromarray(np.roll(pair, 256, axis=1)).save(path)
        with pytest.raises(UserError, match="its halves are swapped"):
            _read(root)

    @pytest.mark.parametrize("content", [b"", b"no image", None])
    def test_damaged_file_is_named_once(
        self, root: Path, path: Path, content: bytes | None
    ) -> None:
        path.write_bytes(path.read_bytes()[:2000] if content is None else content)
        with pytest.raises(UserError, match=r"val/1\.jpg: not a readable image"):
            _read(root)
        (problem,) = check_pair(CityscapesPix2pix(root).pairs("val")[0]).problems
        assert (problem.key, problem.kind) == ("1", check.UNREADABLE)

    def test_wrong_roots(self, root: Path) -> None:
        with pytest.raises(UserError, match=r"nowhere is not a folder; it should have train, val"):
            CityscapesPix2pix(root / "nowhere")
        with pytest.raises(UserError, match=r"seem to be in .*/cityscapes: give that folder"):
            CityscapesPix2pix(root.parent)
        shutil.rmtree(root / "val")
        (root / "val").mkdir()
        with pytest.raises(
            UserError, match=r"nothing of val among 3 files below .*, train/1.jpg.*512x256"
        ):
            CityscapesPix2pix(root).examples("val")

    def test_nothing_is_written(self, root: Path, path: Path, tmp_path: Path, capsys) -> None:
        Image.new("RGB", (600, 300)).save(path)
        records = tmp_path / "records"
        given = ["cityscapes_pix2pix", "--data_root", str(root), "--records_dir", str(records)]
        with pytest.raises(SystemExit) as end:
            prepare.main([*given, "--strict"])
        assert end.value.code == 1
        assert "2 images of 500 expected, 2 labels, 1 with a problem" in capsys.readouterr().out
        assert not records.exists()
        with pytest.raises(UserError, match="512x256 pixels expected"):
            prepare_records(CityscapesPix2pix(root), "val", (8, 8), records)
        assert not list(records.rglob("*.array_record*"))


def test_fingerprints(root: Path) -> None:
    found = {CityscapesPix2pix(root, number).fingerprint for number in (19, 16, 13, 10, 7)}
    assert len(found) == 5
    assert all(fingerprint.startswith("v1-") for fingerprint in found)


def test_records(root: Path, tmp_path: Path) -> None:
    records = prepare_records(
        CityscapesPix2pix(root, 7), "val", (224, 400), tmp_path / "records", keep_label_size=True
    )
    assert records[0]["image"].shape == (224, 400, 3)
    assert records[0]["label"].shape == (256, 256)
    assert (records[0]["label"][10:120, 10:-10] == 6).all()


def test_real_files(shared_data) -> None:
    """What the labels hold, and that photo and label belong together."""
    dataset = CityscapesPix2pix(shared_data("cityscapes_256"))
    examples = dataset.examples("val")[::10]
    images, labels = map(np.stack, zip(*(example.read() for example in examples), strict=True))
    counts = np.bincount(labels.ravel(), minlength=256)
    road, sky = dataset.label_set.indices(["road", "sky"])
    assert counts[255] < 0.3 * labels.size
    assert 0.3 < counts[road] / labels.size < 0.45
    # Lines on edges would make it ten times the truth, 0.2 %.
    assert counts[dataset.label_set.names.index("truck")] < 0.01 * labels.size
    assert np.mean(labels[:, 190:210, 110:140] == road) > 0.9  # ahead of the car
    assert images[labels == sky].mean() > images[labels == road].mean() + 40
