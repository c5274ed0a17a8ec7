"""Which files are read: links, litter, capitals, accents; and what is said of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from msl_jax.data.decoding import PHOTO_SUFFIXES
from msl_jax.data.listing import by_name, children, inside, list_files, matching, pairing_name
from msl_jax.data.photo_inputs import find_inputs
from msl_jax.data.photos import PhotoFolder, open_photos
from msl_jax.runtime.errors import UserError

COMPOSED, DECOMPOSED = "\u00fc", "u\u0308"  # u with two dots
LITTER = ("._a.png", ".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini")
LITTER += ("ehthumbs.db", "Thumbs.db:encryptable", "Icon\r")
LITTER += (".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/a.png", "@eaDir/a.png")
LITTER += ("lost+found/a.png",)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    root.mkdir()
    return root


def _write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


def _names(found: list[Path], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in found]


class TestListing:
    def test_links_are_followed(self, root: Path, tmp_path: Path) -> None:
        _write(root, "b/1.png")
        _write(tmp_path / "disk", "2.png", "deep/3.png")
        (root / "a").symlink_to(tmp_path / "disk")
        (root / "c.png").symlink_to(tmp_path / "disk" / "2.png")
        found = list_files(root)
        assert _names(found.files, root) == ["a/2.png", "a/deep/3.png", "b/1.png", "c.png"]
        assert found.repeated == []

    def test_loops_end_and_every_folder_is_read_once(self, root: Path) -> None:
        _write(root, "z/1.png")
        links = {"a": "z", "z/self": "z", "z/up": ".", "z/beyond": ".."}
        for name, target in links.items():
            (root / name).symlink_to((root / target).resolve())
        (root / "nowhere.png").symlink_to("nowhere.png")
        found = list_files(root)
        assert _names(found.files, root) == ["nowhere.png", "z/1.png"]
        assert sorted(_names(found.repeated, root)) == sorted(links)

    def test_litter_is_passed_over(self, root: Path) -> None:
        _write(root, "a.png", "deep/a.png", *LITTER, *(f"deep/{name}" for name in LITTER))
        assert _names(list_files(root).files, root) == ["a.png", "deep/a.png"]
        assert _names(children(root), root) == ["a.png", "deep"]
        assert sorted(_names(list(matching(root, "**/*.png")), root)) == ["a.png", "deep/a.png"]

    def test_folder_that_is_litter_by_its_own_name(self, tmp_path: Path) -> None:
        _write(tmp_path / ".hidden", "a.png")
        assert len(list_files(tmp_path / ".hidden").files) == 1

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_folder_that_may_not_be_read(self, root: Path) -> None:
        _write(root, "a/b.png")
        (root / "a").chmod(0)
        with pytest.raises(UserError, match=r"mine/a: cannot be read \(Permission denied\)"):
            list_files(root)

    def test_capitals(self, root: Path) -> None:
        _write(root, "GT/Labels/a.png")
        assert inside(root, "gt/LABELS") == root / "GT" / "Labels"
        assert inside(root, "gt/images") == root / "GT" / "images"
        _write(root, "GT/labels/a.png")
        with pytest.raises(UserError, match="GT: 'Labels' and 'labels' are the same name"):
            inside(root, "gt/LABELS")

    def test_accents(self, root: Path) -> None:
        _write(root, f"{DECOMPOSED}.png")
        assert by_name(root) == {f"{COMPOSED}.png": root / f"{DECOMPOSED}.png"}
        assert pairing_name(root / f"{DECOMPOSED}.png", root) == COMPOSED
        _write(root, f"{COMPOSED}.png")
        with pytest.raises(UserError, match="are the same name"):
            by_name(root)


def _open(root: Path, *names: str) -> PhotoFolder:
    _write(root, *names)
    return open_photos(root)


class TestPhotos:
    @pytest.mark.parametrize(
        ("images", "labels"), [("images", "labels"), ("Images", "Labels"), ("IMAGES", "LABELS")]
    )
    def test_folders(self, root: Path, images: str, labels: str) -> None:
        found = _open(root, f"{images}/a.jpg", f"{labels}/a.png", "classes.yaml")
        assert _names(found.photos, root) == [f"{images}/a.jpg"]
        assert _names(found.label_maps, root) == [f"{labels}/a.png"]
        assert found.remarks() == []

    def test_photos_straight_in_the_root(self, root: Path) -> None:
        found = _open(root, "a.jpg", "deep/b.png", "labels/a.png")
        assert _names(found.photos, root) == ["a.jpg", "deep/b.png"]
        assert _names(found.label_maps, root) == ["labels/a.png"]

    def test_every_kind_that_can_be_read(self, root: Path) -> None:
        names = [f"{i}{suffix.upper()}" for i, suffix in enumerate(PHOTO_SUFFIXES)]
        assert len(_open(root, *names).photos) == len(names)
        assert {".jfif", ".gif", ".tiff", ".webp"} <= set(PHOTO_SUFFIXES)

    def test_what_is_not_read_is_counted_with_an_example(self, root: Path) -> None:
        names = ("a.jpg", "n.heic", "o.HEIC", "p.dng", "clip.mp4", "images.txt")
        (remark,) = _open(root, *(f"images/{name}" for name in names)).remarks()
        assert remark.startswith(f"5 files below {root} not read: 2 .heic (images/n.heic), ")
        for part in ("1 .dng (images/p.dng)", "1 .mp4 (images/clip.mp4)"):
            assert part in remark

    def test_photos_beside_the_folder_images_are_said_to_be_so(self, root: Path) -> None:
        beside, other = _open(root, "images/a.jpg", "b.jpg", "more/c.jpg", "list").remarks()
        assert beside == (
            f"photos are those in {root / 'images'}: 2 files beside it not read: 2 .jpg (b.jpg)"
        )
        assert other.startswith(f"1 file below {root} not read: 1 without suffix (list). Photos")

    def test_links_never_make_label_maps_photos(self, root: Path) -> None:
        _write(root, "labels/a.png", "images/a.jpg")
        (root / "images" / "l").symlink_to(root / "labels")
        (root / "images" / "up").symlink_to(root)
        found = open_photos(root)
        assert _names(found.photos, root) == ["images/a.jpg"]
        (remark,) = found.remarks()
        assert remark.startswith(f"2 links below {root} not followed, to folders that are read ")

    @pytest.mark.parametrize(
        ("link", "target"),
        [("labels/im", "images"), ("labels/deep/im", "images/deep"), ("images/la", "labels")],
    )
    def test_links_take_nothing_from_the_folder_where_it_lies(
        self, root: Path, link: str, target: str
    ) -> None:
        _write(root, "images/a.jpg", "images/deep/b.jpg", "labels/a.png", "labels/deep/b.png")
        (root / link).symlink_to(root / target)
        found = open_photos(root)
        assert _names(found.photos, root) == ["images/a.jpg", "images/deep/b.jpg"]
        assert _names(found.label_maps, root) == ["labels/a.png", "labels/deep/b.png"]
        (remark,) = found.remarks()
        assert remark.endswith(f"to folders that are read already: {link}")

    def test_link_in_both_folders_is_one_of_labels(self, root: Path, tmp_path: Path) -> None:
        _write(tmp_path / "disk", "a.png")
        _write(root, "images/a.jpg", "labels/a.png")
        for name in ("images/x", "labels/y"):
            (root / name).symlink_to(tmp_path / "disk")
        found = open_photos(root)
        assert _names(found.photos, root) == ["images/a.jpg"]
        assert _names(found.label_maps, root) == ["labels/a.png", "labels/y/a.png"]

    def test_folders_behind_links(self, root: Path, tmp_path: Path) -> None:
        _write(tmp_path / "disk", "im/a.jpg", "la/a.png")
        (root / "images").symlink_to(tmp_path / "disk" / "im")
        (root / "labels").symlink_to(tmp_path / "disk" / "la")
        found = open_photos(root)
        assert (len(found.photos), len(found.label_maps), found.remarks()) == (1, 1, [])


def test_label_maps_at_any_depth_are_not_predicted(root: Path) -> None:
    _write(root, "day/images/a.png", "day/labels/a.png", "b.png", "b_mask.png", "label.png")
    found = find_inputs([root])
    assert [str(name) for name in found.photos] == ["b.png", "day/images/a.png", "label.png"]
    (remark,) = found.remarks
    assert "2 files called as label maps not predicted: b_mask.png, day/labels/a.png. " in remark
