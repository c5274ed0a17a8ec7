"""Plain folders of images, and the file that names their classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from trees import write_ids, write_image

from msl_jax.data.datasets.class_file import listed_ids, read_classes
from msl_jax.data.datasets.folders import Folders
from msl_jax.data.datasets.registry import open_label_set, open_split
from msl_jax.data.labels import IGNORE
from msl_jax.data.prepared.records import prepare
from msl_jax.runtime.errors import UserError

ROAD = {"id": 3, "name": "road", "color": [128, 64, 128]}
SKY = {"id": 0, "name": "sky", "color": [70, 130, 180]}
CLASSES = {"classes": [ROAD, SKY], "ignored": [7]}


# Few references that stand for a thousand million numbers.
_LAUGHS = "ignored: [&a0 [9]" + "".join(
    f", &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)
)
_LAUGHS += "]\nclasses: [{id: 0, name: sky, color: [70, 130, 180]}]"


def _write_classes(path: Path, content: object = CLASSES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty photos, some in a folder of their own; the last eight have no label."""
    root = tmp_path / "mine"
    _write_classes(root / "classes.yaml")
    for i in range(20):
        name = f"deep/{i:02}" if i % 2 else f"{i:02}"
        write_image(root / "images" / f"{name}.{'JPG' if i % 3 else 'png'}")
        if i < 12:
            write_ids(root / "labels" / f"{name}.png", np.resize([3, 0, 7, 255], (12, 20)))
    return root


def _keys(root: Path, split: str) -> list[str]:
    dataset = Folders(root, root / "classes.yaml")
    return [Path(example.key).stem for example in dataset.examples(split)]


class TestClasses:
    def test_order_of_the_file_is_that_of_the_outputs(self, tmp_path):
        classes = read_classes(_write_classes(tmp_path / "c.yaml"))
        assert classes.names == ("road", "sky")
        assert classes.palette[:2].tolist() == [[128, 64, 128], [70, 130, 180]]
        assert listed_ids(classes) == {3: 0, 0: 1, 7: IGNORE, 255: IGNORE}

    def test_nothing_to_ignore(self, tmp_path):
        classes = read_classes(_write_classes(tmp_path / "c.yaml", {"classes": [SKY]}))
        assert listed_ids(classes) == {0: 0, 255: IGNORE}

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("classes: [", "cannot be read"),
            ("just text", "no list 'classes'"),
            ("classes: []\nclasses: []", "'classes' is given twice"),
            ("classes: [{id: 1, name: a, id: 2}]", "'id' is given twice"),
            ({"classes": {"road": 1}}, "no list 'classes'"),
            ({"classes": []}, "lists 0 classes"),
            ({"classes": [SKY], "ignore": [3]}, "unknown keys: ignore"),
            ({"classes": [{"id": 1, "name": "x"}]}, "entry without color: {"),
            ({"classes": [{**SKY, "id": 256}]}, "entry with id other than below"),
            ({"classes": [{**SKY, "id": True}]}, "entry with id other than below"),
            ({"classes": [{**SKY, "color": [1, 2]}]}, "entry with color other than below"),
            ({"classes": [SKY, {**ROAD, "id": 0}]}, "the id 0 more than once"),
            ({"classes": [SKY, {**ROAD, "name": "sky"}]}, "the name sky more than once"),
            ({"classes": [SKY], "ignored": [0]}, "the id 0 more than once"),
            ({"classes": [{**SKY, "id": 255}]}, "gives sky the id 255, which marks pixels that"),
            ({"classes": [SKY], "ignored": ["void"]}, "'ignored' that does not list ids"),
            ("classes: 2026-99-99", "no list 'classes'"),
            ({"classes": [{**SKY, "name": " "}]}, "entry with name other than below"),
            ({"classes": [{**SKY, "colour": 1}]}, "entry with more than id, name and color"),
            ({"classes": ["sky"]}, "that is not id, name and color"),
            ({"classes": [{**SKY, "name": "x\nerror: no"}]}, r"has 'x\nerror: no', a name with"),
            ({"classes": [SKY], "x\nerror: no": 1}, r"unknown keys: x\nerror: no"),
            ("classes: " + "[" * 10_000, "cannot be read"),
            (_LAUGHS, "'ignored' that does not list ids 0 to 255 or colours: [['9'], [['9'], "),
        ],
    )
    def test_what_is_wrong_is_said_with_an_example(self, tmp_path, content, problem):
        path = _write_classes(tmp_path / "c.yaml", content)
        with pytest.raises(UserError) as caught:
            read_classes(path)
        first, *example = str(caught.value).splitlines()
        assert first.startswith(f"{path}: ")
        assert problem in str(caught.value)
        assert read_classes(_write_classes(path, "\n".join(example[-4:]))).names

    def test_no_file(self, tmp_path):
        with pytest.raises(UserError, match=r"none\.yaml: .*cannot be read"):
            read_classes(tmp_path / "none.yaml")

    @pytest.mark.parametrize("there", ["classes.yml", "Classes.yaml", "a/classes.yaml"])
    def test_no_file_but_another_one(self, tmp_path, there: str):
        (tmp_path / "a" / "b").mkdir(parents=True)
        (tmp_path / there).write_text("")
        for folder in (tmp_path, tmp_path / "a" / "b") if "/" in there else (tmp_path,):
            with pytest.raises(UserError, match=rf"no such file; there is {tmp_path / there} "):
                read_classes(folder / "classes.yaml")


def test_splits(root: Path) -> None:
    assert len(_keys(root, "target_train")) == 20
    train, held_out = _keys(root, "source_train"), _keys(root, "source_eval")
    assert len(held_out) == 2
    assert sorted(train + held_out) == sorted(_keys(root, "target_eval"))
    assert len(train + held_out) == 12


def test_labels(root: Path) -> None:
    dataset, split = open_split("folders/source_train", root)
    assert dataset.labelled(split)
    image, label = dataset.examples(split)[0].read()
    assert image.shape == (12, 20, 3)
    np.testing.assert_array_equal(label, np.resize([0, 1, IGNORE, IGNORE], (12, 20)))
    assert not dataset.labelled("target_train")
    assert all(e.read()[1] is None for e in dataset.examples("target_train"))


def test_photos_without_labels(root: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_image(photos / "a.jpg")
    write_image(photos / "b" / "c.png")
    dataset, split = open_split("folders/target_eval", photos, 2, root / "classes.yaml")
    assert [example.key for example in dataset.examples(split)] == ["a.jpg", "b/c.png"]
    assert not dataset.labelled(split)
    records = prepare(dataset, split, (6, 10), tmp_path / "records", keep_label_size=True)
    assert (records[0]["label"] == IGNORE).all()


def test_photos_without_labels_stand_upright(root: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    (tmp_path / "p").mkdir()
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(tmp_path / "p" / "a.jpg", exif=exif)
    dataset = Folders(tmp_path / "p", root / "classes.yaml")
    assert dataset.examples("target_train")[0].read()[0].shape == (16, 8, 3)


def test_unknown_id(root: Path) -> None:
    path = next((root / "labels").glob("*.png"))
    write_ids(path, np.full((12, 20), 9))
    dataset = Folders(root, root / "classes.yaml")
    with pytest.raises(UserError, match=rf"{path.name}.*9"):
        [example.read() for example in dataset.examples("target_eval")]


def test_nothing_there(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder\. Expected images/"):
        Folders(tmp_path / "nowhere", root / "classes.yaml")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no photos below .*empty\. Expected images/"):
        Folders(tmp_path / "empty", root / "classes.yaml").examples("target_train")
    with pytest.raises(UserError, match=r"classes\.yaml: .*cannot be read"):
        open_split("folders/source_train", tmp_path / "empty")


def test_label_set(root: Path) -> None:
    classes = root / "classes.yaml"
    assert open_label_set("folders/target_eval", None, classes).names == ("road", "sky")
    with pytest.raises(UserError, match=r"num_classes is 19, but .* lists 2 classes: road, sky"):
        open_label_set("folders/target_eval", 19, classes)
    with pytest.raises(UserError, match=r"--config\.classes_file=FILE"):
        open_label_set("folders/target_eval")


@pytest.mark.parametrize(
    ("first", "second"), [("images/00.png", "images/00.jpg"), ("labels/00.png", "labels/00.bmp")]
)
def test_two_files_of_one_name(root: Path, first: str, second: str) -> None:
    """Which label belongs to which image is not guessed."""
    for name in (first, second):
        write_ids(root / name, np.zeros((12, 20)))
    dataset = Folders(root, root / "classes.yaml")
    with pytest.raises(UserError, match=r"00\.(png|jpg|bmp) and .*00\.\w+ have the same name"):
        dataset.examples("source_train")


def test_two_photos_of_one_name_need_no_label(root: Path) -> None:
    for suffix in ("png", "jpg"):
        write_image(root / "images" / f"zz.{suffix}")
    keys = [e.key for e in Folders(root, root / "classes.yaml").examples("target_train")]
    assert keys[-2:] == ["zz.jpg", "zz.png"]


def test_folder_with_the_name_of_a_photo(root: Path) -> None:
    before = _keys(root, "target_train")
    (root / "images" / "folder.png").mkdir()
    (root / "labels" / "folder.png").mkdir()
    assert _keys(root, "target_train") == before


def test_label_without_an_image(root: Path) -> None:
    write_ids(root / "labels" / "typo.png", np.zeros((12, 20)))
    dataset = Folders(root, root / "classes.yaml")
    assert dataset.labels_without_image() == [root / "labels" / "typo.png"]


def test_names_that_are_no_utf8(root: Path, tmp_path: Path) -> None:
    """As from old archives: the names are bytes in another encoding."""
    name = "stra\udcdfe.png"
    write_image(root / "images" / "x.png").rename(root / "images" / name)
    write_ids(root / "labels" / "x.png", np.zeros((12, 20))).rename(root / "labels" / name)
    dataset = Folders(root, root / "classes.yaml")
    records = prepare(dataset, "target_eval", (6, 10), tmp_path / "records")
    assert name in {records[index]["key"] for index in range(len(records))}


def test_records_of_other_ids_are_not_taken(root: Path, tmp_path: Path) -> None:
    """The files are the same, but the classes are in another order."""
    for classes, label in ((CLASSES, 0), ({**CLASSES, "classes": [SKY, ROAD]}, 1)):
        _write_classes(root / "classes.yaml", classes)
        dataset = Folders(root, root / "classes.yaml")
        records = prepare(dataset, "source_train", (12, 20), tmp_path / "records")
        assert records[0]["label"][0, 0] == label  # of the road


class TestRemarks:
    """What is there and not used is always counted, with an example."""

    def test_all_is_used(self, root: Path) -> None:
        for path in root.glob("images/**/*"):
            label = root / "labels" / path.relative_to(root / "images").with_suffix(".png")
            if path.is_file() and not label.exists():
                path.unlink()
        assert Folders(root, root / "classes.yaml").remarks() == []

    def test_labels_of_other_names(self, root: Path) -> None:
        for path in (root / "labels" / "deep").iterdir():
            path.rename(path.with_stem(f"{path.stem}_mask"))
        labels = "labels/deep/01_mask.png, labels/deep/03_mask.png, labels/deep/05_mask.png, ..."
        assert Folders(root, root / "classes.yaml").remarks() == [
            f"folders: 6 labels without an image below {root}: {labels}",
            f"folders: 14 of 20 images without a label below {root}: images/12.png (expected"
            " labels/12.png)",
        ]

    def test_no_label_has_the_name_of_an_image(self, root: Path) -> None:
        (root / "labels").rename(root / "masks")
        (root / "masks" / "00.png").rename(root / "masks" / "xx.png")
        dataset = Folders(root, root / "classes.yaml")
        expected = r"source_train needs labels, and 20 images below .* have none: images/00\.png"
        with pytest.raises(UserError, match=rf"{expected} \(expected labels/00\.png\)\. Expected"):
            dataset.examples("source_train")
        assert dataset.remarks()[0].startswith(
            f"folders: photos are those in {root / 'images'}: 12 files beside it not read: 12 .png"
        )
        (root / "masks").rename(root / "labels")
        (root / "images").rename(root / "photos")
        (root / "images").mkdir()
        write_image(root / "images" / "y.png")
        with pytest.raises(UserError, match=r"1 image below .* Found labels/02\.png\."):
            Folders(root, root / "classes.yaml").examples("source_eval")

    def test_labels_that_are_no_label_maps(self, root: Path) -> None:
        """JPEG changes ids: such a label is refused, unless there is a better one of its name."""
        for name in ("02", "04"):
            Image.open(root / "labels" / f"{name}.png").save(root / "labels" / f"{name}.jpg")
        (root / "labels" / "02.png").unlink()
        dataset = Folders(root, root / "classes.yaml")
        first, second = dataset.remarks()
        assert first.startswith(f"folders: 1 file below {root} not read: 1 .jpg (labels/04.jpg).")
        assert "8 of 20 images without a label" in second
        refused, read = (e for e in dataset.pairs("target_eval") if e.key in ("02.JPG", "04.JPG"))
        with pytest.raises(UserError, match=r"labels/02\.jpg: PNG or .* expected, found JPEG\."):
            refused.read()
        assert read.read()[1] is not None

    def test_folders_of_photos(self, root: Path, tmp_path: Path) -> None:
        for name in ("a.jpg", "day/b.jpg", "night/c.jpg"):
            write_image(tmp_path / "photos" / name)
        (remark,) = Folders(tmp_path / "photos", root / "classes.yaml").remarks()
        assert remark.endswith("photos of all folders, . (1), day (1), night (1)")

    @pytest.mark.parametrize("name", ["masks", "Annotations", "label"])
    def test_label_maps_are_never_taken_for_photos(self, root: Path, name: str) -> None:
        (root / "images").rename(root / "pictures")
        (root / "labels").rename(root / name)
        with pytest.raises(UserError, match=rf"no folder images, and 12 label maps .*{name}/"):
            Folders(root, root / "classes.yaml").examples("target_train")

    @pytest.mark.parametrize(
        "name", ["images/day/labels/a.png", "images/train_masks/a.png", "images/a_mask.png"]
    )
    def test_nor_deeper_or_beside_their_photos(self, root: Path, name: str) -> None:
        write_image(root / "images" / "a.jpg")
        write_ids(root / name, np.zeros((12, 20)))
        with pytest.raises(UserError, match=rf"^1 label map would be taken .*: {name}\."):
            Folders(root, root / "classes.yaml").examples("target_train")

    @pytest.mark.parametrize("name", ["unlabelled/a.png", "labelled/a.png", "gta5/a_mask.png"])
    def test_photos_that_are_called_alike(self, root: Path, name: str) -> None:
        write_image(root / "images" / name)
        assert name in [
            e.key for e in Folders(root, root / "classes.yaml").examples("target_train")
        ]

    def test_a_photo_of_the_same_name_is_said(self, root: Path) -> None:
        for suffix in ("png", "jpg"):
            write_image(root / "images" / f"zz.{suffix}")
        said = "; ".join(Folders(root, root / "classes.yaml").remarks())
        assert f"2 photos below {root} have the name of another one" in said
        assert ": images/zz.jpg, images/zz.png. Label maps" in said


def test_one_image_with_a_label(root: Path) -> None:
    for path in list(root.glob("labels/**/*.png"))[1:]:
        path.unlink()
    dataset = Folders(root, root / "classes.yaml")
    assert _keys(root, "source_train") == _keys(root, "source_eval")
    assert f"folders: the only label below {root} serves training" in dataset.remarks()[-1]


def test_accents_composed_or_not(root: Path) -> None:
    """macOS writes names decomposed, other systems as they are typed."""
    write_image(root / "images" / "u\u0308ber" / "a\u0301.jpg")
    write_ids(root / "labels" / "\u00fcber" / "\u00e1.png", np.zeros((12, 20)))
    dataset = Folders(root, root / "classes.yaml")
    assert "a\u0301" in [Path(e.key).stem for e in dataset.examples("target_eval")]
    assert dataset.labels_without_image() == []


def test_folders_in_capitals(root: Path) -> None:
    before = _keys(root, "source_train")
    (root / "images").rename(root / "Images")
    (root / "labels").rename(root / "LABELS")
    assert _keys(root, "source_train") == before
    assert len(_keys(root, "target_train")) == 20


@pytest.mark.parametrize("name", ["no", "null", "1e3", "0x1F", "2026-11-27", "~", "on", "1_000"])
def test_names_that_yaml_would_change(tmp_path: Path, name: str) -> None:
    content = f"classes:\n  - {{id: 007, name: {name}, color: [1, 2, 3]}}"
    classes = read_classes(_write_classes(tmp_path / "c.yaml", content))
    assert classes.names == (name,)
    assert listed_ids(classes) == {7: 0, 255: IGNORE}
