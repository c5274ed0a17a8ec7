"""Folders of photos, one for each class of each domain."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import write_domains, write_image

from msl_jax.config import base_config
from msl_jax.data.datasets.class_dataset import class_label_set
from msl_jax.data.datasets.class_folders import ClassFolders
from msl_jax.data.datasets.registry import open_dataset, open_label_set, open_split
from msl_jax.data.known_classes import KnownClasses, ReadList
from msl_jax.data.labels import IGNORE
from msl_jax.data.prepared.records import prepare
from msl_jax.data.splits import load_labelled, open_classes
from msl_jax.runtime.errors import UserError

CLASSES = ("bike", "mug", "pen")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_domains(tmp_path / "photos", ("shop", "home"), CLASSES)


def _keys(root: Path, split: str) -> list[str]:
    return [example.key for example in ClassFolders(root).examples(split)]


class TestExamples:
    def test_each_photo_has_the_class_of_its_folder(self, root: Path) -> None:
        dataset, split = open_split("class_folders/home", root)
        assert (dataset.kind, dataset.splits) == ("classes", ("home", "shop"))
        assert dataset.label_set.names == CLASSES
        examples = dataset.examples(split)
        assert [e.key for e in examples] == [
            f"{name}/frame_000{i}.jpg" for name in CLASSES for i in (1, 2)
        ]
        image, label = examples[3].read()
        assert (image.shape, image.dtype) == ((12, 20, 3), np.uint8)
        assert (label.shape, label.dtype, int(label)) == ((), np.uint8, 1)
        assert isinstance(label, np.ndarray)
        assert dataset.labelled(split)

    def test_folders_named_images_in_the_domains(self, root: Path, tmp_path: Path) -> None:
        other = write_domains(tmp_path / "inner", ("shop", "home"), CLASSES, inner="images")
        assert _keys(other, "shop") == _keys(root, "shop")

    def test_litter_is_not_seen(self, root: Path) -> None:
        before = _keys(root, "shop")
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._frame_0001.jpg"):
            (root / "shop" / "mug" / name).write_bytes(b"x")
            (root / "shop" / name).write_bytes(b"x")
        (root / "shop" / ".cache").mkdir()
        (root / "__MACOSX").mkdir()
        assert _keys(root, "shop") == before
        assert ClassFolders(root).splits == ("home", "shop")

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
    def test_other_kinds_of_photos_are_converted(self, root: Path, mode: str) -> None:
        path = root / "shop" / "bike" / ("a.jpg" if mode == "CMYK" else "a.png")
        photo = Image.new("RGB", (20, 12), (200, 200, 200)).convert(mode)
        photo.save(path)
        image, _ = ClassFolders(root).examples("shop")[0].read()
        assert (image.shape, image.dtype) == ((12, 20, 3), np.uint8)
        assert abs(image.astype(int).mean() - 200) < 10  # of one bit: dots

    def test_photos_stand_upright(self, root: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        Image.new("RGB", (20, 12)).save(root / "shop" / "bike" / "a.jpg", exif=exif)
        assert ClassFolders(root).examples("shop")[0].read()[0].shape == (20, 12, 3)

    def test_other_processes_can_read_them(self, root: Path) -> None:
        example = ClassFolders(root).examples("shop")[4]
        again = pickle.loads(pickle.dumps(example))
        assert again == example
        assert int(again.read()[1]) == 2

    def test_what_is_no_photo_is_counted_and_named(self, root: Path) -> None:
        before = _keys(root, "shop")
        for name in ("a.heic", "notes.txt", "b.HEIC", "list"):
            (root / "shop" / "mug" / name).write_bytes(b"some text")
        write_image(root / "shop" / "mug" / "more.jpg" / "c.jpg")
        assert _keys(root, "shop") == before
        (remark,) = ClassFolders(root).remarks()
        found = "5 files and folders in the folders of classes not read: 2 .heic (shop/mug/a.heic),"
        assert remark.startswith(f"class_folders: {found}")
        for part in ("1 .jpg (shop/mug/more.jpg)", "1 .txt (", "1 without suffix (shop/mug/list)"):
            assert part in remark

    def test_a_folder_is_not_listed_again_for_each_of_its_files(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def listings() -> int:
            listed: list[Path] = []
            scandir = os.scandir
            with monkeypatch.context() as patch:
                patch.setattr(os, "scandir", lambda path: (listed.append(path), scandir(path))[1])
                ClassFolders(root).remarks()
            return len(listed)

        before = listings()
        for number in range(50):
            (root / "shop" / "mug" / f"more_{number}.jpg").touch()
        assert 0 < listings() == before

    def test_photo_that_cannot_be_read_is_named(self, root: Path) -> None:
        path = root / "shop" / "mug" / "broken.jpg"
        path.write_bytes(b"some text")
        (found,) = [e for e in ClassFolders(root).examples("shop") if e.key == "mug/broken.jpg"]
        with pytest.raises(UserError, match=rf"{path}: not a readable image"):
            found.read()


class TestClasses:
    def test_class_missing_in_one_domain(self, root: Path) -> None:
        (root / "home" / "mug").rename(root / "home" / "mugs")
        dataset = ClassFolders(root)
        assert dataset.label_set.names == ("bike", "mug", "mugs", "pen")
        with pytest.raises(UserError) as caught:
            dataset.examples("home")
        message = str(caught.value)
        folder = root / "home" / "mug"
        assert "home lacks photos of 1 of 4 classes, but source and target need" in message
        assert f"mug ({folder}: no such folder)" in message
        assert f"share in {root / 'classes.yaml'} (classes: [bike, mug])" in message
        with pytest.raises(UserError, match=r"shop lacks photos of 1 of 4 .* mugs \("):
            dataset.examples("shop", missing_ok=True)

    def test_class_without_photos(self, root: Path) -> None:
        for path in (root / "shop" / "pen").iterdir():
            path.unlink()
        (root / "shop" / "pen" / ".DS_Store").write_bytes(b"x")
        with pytest.raises(UserError, match=rf"pen \({root}/shop/pen: no photo in it\)"):
            ClassFolders(root).examples("shop")
        (root / "shop" / "pen" / "a.heic").write_bytes(b"x")
        with pytest.raises(UserError, match=r"no photo in it, but 1 \.heic \(a\.heic\)\)"):
            ClassFolders(root).examples("shop")

    def test_file_of_classes_chooses_and_orders(self, root: Path) -> None:
        (root / "home" / "mug").rename(root / "home" / "mugs")
        (root / "classes.yaml").write_text("classes: [pen, bike]")
        dataset = ClassFolders(root)
        assert dataset.label_set.names == ("pen", "bike")
        assert _keys(root, "home")[0] == "pen/frame_0001.jpg"
        assert dataset.unused() == [root / "home" / "mugs", root / "shop" / "mug"]

    def test_typing_error_in_the_file_of_classes(self, root: Path) -> None:
        (root / "classes.yaml").write_text("classes: [pen, bikes]")
        with pytest.raises(UserError, match=r"bikes \(.*belongs to no class: bike, mug\."):
            ClassFolders(root).examples("home")

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("classes: [", "cannot be read"),
            ("just text", "no list 'classes'"),
            ("classes: {pen: 1}", "no list 'classes'"),
            ("classes: [pen]\nignored: [1]", "something other than a list 'classes'"),
            ("classes: [pen, [1]]", r"lists \['1'\], which is not a folder's name"),
            ("classes: [pen, ../shop]", r"lists '\.\./shop', which is not a folder"),
            ("classes: [pen, ..]", r"lists '\.\.', which is not a folder"),
            ("classes: [pen, pen]", "lists pen more than once"),
            (r'classes: ["\e[2J"]', r"lists '\\x1b\[2J', which is not a folder"),
            ("classes: []", "expected 1 to 254 classes, found 0"),
            (f"classes: [{', '.join(f'c{i}' for i in range(255))}]", "found 255"),
        ],
    )
    def test_wrong_file_of_classes(self, root: Path, content: str, problem: str) -> None:
        path = root / "classes.yaml"
        path.write_text(content)
        with pytest.raises(UserError, match=rf"classes\.yaml: .*{problem}"):
            ClassFolders(root)

    def test_file_of_another_spelling_is_not_passed_over(self, root: Path) -> None:
        (root / "classes.yml").write_text("classes: [pen, mug]")
        with pytest.raises(UserError, match=r"no such file; there is .*classes\.yml\. Rename it"):
            ClassFolders(root)

    def test_label_set_without_any_photo(self, root: Path, tmp_path: Path) -> None:
        """As predict.py asks for it."""
        default = root / "classes.yaml"  # not there
        assert open_label_set("class_folders/home", None, default).names == CLASSES
        listed = tmp_path / "mine.yaml"
        listed.write_text("classes: [a, b]")
        assert open_label_set("class_folders/home", 2, listed).names == ("a", "b")
        with pytest.raises(UserError, match=r"num_classes is 5, but .*photos has 3 classes: bike"):
            open_label_set("class_folders/home", 5, default)
        with pytest.raises(UserError, match=r"mine2\.yaml: .*cannot be read"):
            open_label_set("class_folders/home", None, tmp_path / "mine2.yaml")
        with pytest.raises(UserError, match=r"--config\.data_root=DIR"):
            open_label_set("class_folders/home")

    def test_roots_of_two_domains_share_the_classes_of_the_first(
        self, root: Path, tmp_path: Path
    ) -> None:
        other = write_domains(tmp_path / "other", ("street",), ("mug", "pen"))
        dataset = open_dataset("class_folders", other, None, root / "classes.yaml")
        assert dataset.label_set.names == CLASSES
        with pytest.raises(UserError, match="street lacks photos of 1 of 3 classes"):
            dataset.examples("street")


class TestUnlabelledDomain:
    """Photos that nobody has sorted: what an adaptation is for."""

    @pytest.fixture(params=["", "images"])
    def folder(self, root: Path, request: pytest.FixtureRequest) -> Path:
        shutil.rmtree(root / "home")
        inner: Path = root / "home" / request.param
        for name in ("b.jpg", "a.PNG"):
            write_image(inner / name)
        return inner

    def test_all_photos_in_the_folder_are_read(self, root: Path, folder: Path) -> None:
        dataset = ClassFolders(root)
        assert dataset.label_set.names == CLASSES
        assert (dataset.labelled("home"), dataset.labelled("shop")) == (False, True)
        examples = dataset.examples("home")
        assert [example.key for example in examples] == ["a.PNG", "b.jpg"]
        image, label = examples[0].read()
        assert (image.shape, label) == ((12, 20, 3), None)
        assert dataset.remarks() == []
        (folder / "list.txt").write_text("")
        assert dataset.remarks()[0].endswith(f"{(folder / 'list.txt').relative_to(root)}")

    def test_records_have_no_label(self, root: Path, folder: Path) -> None:
        records = prepare(ClassFolders(root), "home", (8, 8), keep_label_size=True)
        assert [record["key"] for record in records.spread(9)] == ["a.PNG", "b.jpg"]
        label = records[0]["label"]
        assert (np.shape(label), int(label)) == ((), IGNORE)
        assert records.counts.labels == 0

    def test_beside_folders_of_classes_they_are_passed_over(self, root: Path, folder: Path) -> None:
        (folder / "mug").mkdir()
        with pytest.raises(UserError, match=r"home lacks photos of 3 of 3 .*Photos of an unlabel"):
            ClassFolders(root).expect_classes("home")
        assert len(ClassFolders(root).unused()) == 2

    def test_photos_of_other_kinds_alone_are_shown(self, root: Path, folder: Path) -> None:
        for name in ("a.PNG", "b.jpg"):
            (folder / name).rename(folder / f"{name[0]}.heic")
        with pytest.raises(UserError, match=r"there and belongs to no class: a\.heic, b\.heic\."):
            ClassFolders(root).examples("home")

    def test_training_on_them_as_a_source_is_refused(self, root: Path, folder: Path) -> None:
        config = base_config("x", "max_square", task="classification")
        config.update_from_flattened_dict(
            {"data_root": str(root), "num_classes": 3, "source_train": "class_folders/home"}
        )
        with pytest.raises(UserError, match="class_folders/home has no labels, but this variant"):
            load_labelled(config, "source_train")


class TestDomains:
    def test_unknown_domain(self, root: Path) -> None:
        for name in ("class_folders/hom", "class_folders"):
            dataset, split = open_split(name, root)
            with pytest.raises(UserError, match=r"no split '(hom)?'; choose one of .*'home', 'sh"):
                dataset.examples(split)

    @pytest.mark.parametrize("name", ["at home", "h" * 151, "é" * 76])
    def test_name_that_records_cannot_have(self, root: Path, name: str) -> None:
        (root / "home").rename(root / name)
        with pytest.raises(UserError, match=f"the domain '{name}' needs a name of letters"):
            ClassFolders(root).examples(name)

    @pytest.mark.parametrize("name", ["h" * 150, "é" * 75])
    def test_longest_name_that_records_can_have(self, root: Path, name: str) -> None:
        (root / "home").rename(root / name)
        assert len(prepare(ClassFolders(root), name, (8, 12))) > 0

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"nowhere is not a folder\. Expected DOMAIN/CLASS/"):
            open_split("class_folders/home", tmp_path / "nowhere")
        with pytest.raises(UserError, match=r"classes, found 0\. The layout is DOMAIN/CLASS/"):
            open_split("class_folders/home", tmp_path)


def test_fingerprint_follows_photos_and_classes(root: Path) -> None:
    first = ClassFolders(root).fingerprint
    assert ClassFolders(root).fingerprint == first
    (root / "classes.yaml").write_text("classes: [pen, mug, bike]")
    ordered = ClassFolders(root).fingerprint
    write_image(root / "home" / "pen" / "frame_0009.jpg")
    assert len({first, ordered, ClassFolders(root).fingerprint}) == 3


def test_names_are_as_they_are_written(tmp_path: Path) -> None:
    names = ("1e3", "no", "null", "u\u0308")  # YAML reads other values; macOS writes the last so
    root = write_domains(tmp_path / "photos", ("k\u00fcche", "shop"), names)
    assert ClassFolders(root).label_set.names == (*names[:3], "\u00fc")
    (root / "classes.yaml").write_text("classes: [no, 1e3, null, \u00fc]")
    dataset = ClassFolders(root)
    assert dataset.label_set.names == ("no", "1e3", "null", "\u00fc")
    assert len(dataset.examples("k\u00fcche")) == 8
    assert dataset.remarks() == []


def test_what_is_not_used_is_counted(root: Path) -> None:
    (root / "classes.yaml").write_text("classes: [bike, mug]")
    (root / "home" / "list.txt").write_text("")
    assert ClassFolders(root).remarks() == [
        f"class_folders: 3 of the files and folders below {root} of no class: home/list.txt,"
        " home/pen, shop/pen"
    ]


def test_links_that_lead_back_are_no_classes(root: Path, tmp_path: Path) -> None:
    (root / "again").symlink_to(root)
    (root / "shop" / "up").symlink_to("..")
    (root / "shop" / "self").symlink_to(root / "shop")
    (root / "shop" / "beyond").symlink_to(tmp_path)
    (root / "home" / "bike").rename(tmp_path / "bikes")
    (root / "home" / "bike").symlink_to(tmp_path / "bikes")
    dataset = ClassFolders(root)
    assert (dataset.splits, dataset.label_set.names) == (("home", "shop"), CLASSES)
    assert len(dataset.examples("home")) == 6
    assert dataset.remarks() == [
        f"class_folders: 4 of the files and folders below {root} of no class: again, shop/beyond,"
        " shop/self, ..."
    ]


def test_images_in_capitals(tmp_path: Path) -> None:
    root = write_domains(tmp_path / "photos", ("shop",), CLASSES, inner="Images")
    assert len(ClassFolders(root).examples("shop")) == 6


def test_a_list_that_has_gone_is_the_one_that_the_training_read(root: Path) -> None:
    """Its order, not that of the folders' names."""
    listed = tuple(reversed(CLASSES))
    config = base_config("x", "source", task="classification")
    config.update({"data_root": str(root), "source_train": "class_folders/home"})
    read = class_label_set("class_folders", listed)
    for file in (str(root / "classes.yaml"), "elsewhere.yaml"):
        known = KnownClasses(read, "run", {"source": ReadList(read, file)})
        assert open_classes(config, "source_train", known).names == listed
    with pytest.raises(UserError, match="run and class_folders/home have different classes"):
        open_classes(config, "source_train", KnownClasses(read, "run"))
