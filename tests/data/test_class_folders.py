"""Folders of photos, one for each class of each domain."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import write_domains, write_image

from msl_jax.data.datasets.class_folders import ClassFolders
from msl_jax.data.datasets.registry import open_dataset, open_label_set, open_split
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

    @pytest.mark.parametrize("name", ["notes.txt", "clip.mp4", "list"])
    def test_what_is_no_photo_is_named(self, root: Path, name: str) -> None:
        path = root / "shop" / "mug" / name
        path.write_bytes(b"some text")
        (found,) = [e for e in ClassFolders(root).examples("shop") if e.key == f"mug/{name}"]
        with pytest.raises(UserError, match=rf"{path}: not a readable image"):
            found.read()

    def test_folder_among_photos_is_named(self, root: Path) -> None:
        path = root / "shop" / "mug" / "more"
        path.mkdir()
        (found,) = [e for e in ClassFolders(root).examples("shop") if e.key == "mug/more"]
        with pytest.raises(UserError, match=f"{path}: not a file"):
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

    def test_file_of_classes_chooses_and_orders(self, root: Path) -> None:
        (root / "home" / "mug").rename(root / "home" / "mugs")
        (root / "classes.yaml").write_text("classes: [pen, bike]")
        dataset = ClassFolders(root)
        assert dataset.label_set.names == ("pen", "bike")
        assert _keys(root, "home")[0] == "pen/frame_0001.jpg"
        assert dataset.unused() == [root / "home" / "mugs", root / "shop" / "mug"]

    def test_typing_error_in_the_file_of_classes(self, root: Path) -> None:
        (root / "classes.yaml").write_text("classes: [pen, bikes]")
        with pytest.raises(UserError, match=r"bikes \(.*Folders of no class there: bike, mug\."):
            ClassFolders(root).examples("home")

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("classes: [", "cannot be read"),
            ("just text", "something else than one list 'classes'"),
            ("classes: {pen: 1}", "something else than one list 'classes'"),
            ("classes: [pen]\nignored: [1]", "something else than one list 'classes'"),
            ("classes: [pen, 1]", "lists 1, which is no name of a folder"),
            ("classes: [pen, ../shop]", r"lists '\.\./shop', which is no name"),
            ("classes: [pen, ..]", r"lists '\.\.', which is no name"),
            ("classes: [pen, pen]", "lists pen more than once"),
            ("classes: []", "1 to 254 classes expected, found 0"),
            (f"classes: [{', '.join(f'c{i}' for i in range(255))}]", "found 255"),
        ],
    )
    def test_wrong_file_of_classes(self, root: Path, content: str, problem: str) -> None:
        path = root / "classes.yaml"
        path.write_text(content)
        with pytest.raises(UserError, match=rf"classes\.yaml: .*{problem}"):
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


class TestDomains:
    def test_unknown_domain(self, root: Path) -> None:
        for name in ("class_folders/hom", "class_folders"):
            dataset, split = open_split(name, root)
            with pytest.raises(UserError, match=r"no split '(hom)?'; choose one of .*'home', 'sh"):
                dataset.examples(split)

    def test_name_that_records_cannot_have(self, root: Path) -> None:
        (root / "home").rename(root / "at home")
        with pytest.raises(UserError, match="the domain 'at home' needs a name of letters"):
            ClassFolders(root).examples("at home")

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"nowhere is not a folder\. Expected DOMAIN/CLASS/"):
            open_split("class_folders/home", tmp_path / "nowhere")
        with pytest.raises(UserError, match=r"classes expected, found 0\. Expected DOMAIN/CLASS/"):
            open_split("class_folders/home", tmp_path)


def test_fingerprint_follows_photos_and_classes(root: Path) -> None:
    first = ClassFolders(root).fingerprint
    assert ClassFolders(root).fingerprint == first
    (root / "classes.yaml").write_text("classes: [pen, mug, bike]")
    ordered = ClassFolders(root).fingerprint
    write_image(root / "home" / "pen" / "frame_0009.jpg")
    assert len({first, ordered, ClassFolders(root).fingerprint}) == 3
