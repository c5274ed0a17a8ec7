"""Wrong edits of which files are read, how labels are read, and what is said of them."""

from __future__ import annotations

from edit import Edit

LISTING, PHOTOS = "msl_jax/data/listing.py", "msl_jax/data/photos.py"
COUNTS, LABELS = "msl_jax/data/label_counts.py", "msl_jax/data/label_files.py"
IMAGES = "msl_jax/data/images.py"
LISTING_TEST = ("tests/data/test_listing.py",)
COUNTS_TEST = ("tests/data/test_label_counts.py",)
LABELS_TEST = ("tests/data/test_label_files.py",)
IMAGES_TEST = ("tests/data/test_images.py",)
CLASS_FOLDERS_TEST = ("tests/data/test_class_folders.py",)
LISTS_TEST = ("tests/end_to_end/test_class_lists.py",)

EDITS = [
    *(
        Edit(what, file, old, new, tests)
        for what, file, old, new, tests in (
            (
                "folders behind links are not read",
                LISTING,
                "(links if path.is_dir() else files).append(path)",
                "[] if path.is_dir() else files.append(path)",
                LISTING_TEST,
            ),
            (
                "links that are not followed are not said",
                LISTING,
                "repeated += [place] if place.is_symlink() else []",
                "repeated += []",
                LISTING_TEST,
            ),
            ("litter is read", LISTING, 'name.startswith(".") or ', "", LISTING_TEST),
            (
                "label maps behind a link are photos",
                PHOTOS,
                "list_files(labels, images, root)",
                "list_files(images, labels, root)",
                LISTING_TEST,
            ),
            (
                "a link takes what it leads to from the folder where that lies",
                LISTING,
                "(links if path.is_dir() else files).append(path)",
                "(waiting if path.is_dir() else files).append(path)",
                LISTING_TEST,
            ),
            (
                "links that lead back are domains and classes",
                LISTING,
                "path.is_dir() and _identity(path) not in above]",
                "path.is_dir()]",
                CLASS_FOLDERS_TEST,
            ),
            (
                "what is no photo stops a classification",
                "msl_jax/data/datasets/class_dataset.py",
                "(path for path in children(folder) if path.suffix.lower() in PHOTO_SUFFIXES)",
                "children(folder)",
                CLASS_FOLDERS_TEST,
            ),
            (
                "label maps of JPEG are passed over",
                PHOTOS,
                "label_maps += [path",
                "_ = [path",
                ("tests/data/test_folders.py", "tests/data/test_prepare.py"),
            ),
            (
                "a check in which no label can be used ends well",
                "msl_jax/data/check.py",
                "if self.num_labels and not self.counts.labels:",
                "if False:",
                ("tests/data/test_prepare.py",),
            ),
            (
                "compression of TIFFs with loss is not seen",
                LABELS,
                "in _WITH_LOSS:",
                "in ():",
                LABELS_TEST,
            ),
            (
                "a label that fits the upright photo alone is not said",
                IMAGES,
                "else UPRIGHT",
                "else ''",
                IMAGES_TEST,
            ),
            (
                "255 is a class",
                "msl_jax/data/datasets/class_file.py",
                "if IGNORE in ids:",
                "if False:",
                ("tests/data/test_folders.py",),
            ),
            (
                "exchanged ids are not noticed",
                "msl_jax/data/known_classes.py",
                "        if known is None or not changes:\n",
                "        if True:\n",
                LISTS_TEST,
            ),
            (
                "ids of one domain are held against the other",
                "msl_jax/data/known_classes.py",
                "known = self.lists.get(domain)",
                'known = self.lists.get("source")',
                LISTS_TEST,
            ),
            (
                "the target's own list is passed over",
                "msl_jax/data/splits.py",
                'for d in (domain, "source")]',
                'for d in ("source", "source")]',
                LISTS_TEST,
            ),
            (
                "a run needs the files that listed its classes",
                "msl_jax/data/splits.py",
                "if kept is not None and not",
                "if False and not",
                LISTS_TEST,
            ),
            (
                "ignored ids are not kept",
                "msl_jax/data/labels.py",
                '"ignored": self.ignored}',
                '"ignored": ()}',
                LISTS_TEST,
            ),
            (
                "predictions of a folder with images are named with that folder",
                "msl_jax/data/photo_inputs.py",
                "photo.relative_to(found.images)",
                "photo.relative_to(path)",
                ("tests/end_to_end/test_predictions_as_labels.py",),
            ),
            (
                "what is not read is not said",
                PHOTOS,
                "others = {*files} - {*photos,",
                "others = {*files} - {*files,",
                LISTING_TEST,
            ),
            (
                "accents of labels matter",
                LISTING,
                'unicodedata.normalize("NFC", name)',
                "name",
                ("tests/data/test_folders.py",),
            ),
            (
                "labels that hold nothing are trained on",
                "msl_jax/data/splits.py",
                "        counts.expect_any(config[role])\n",
                "        pass\n",
                COUNTS_TEST,
            ),
            (
                "a class that occurs in no label is not named",
                COUNTS,
                "if not self.pixels[index]]",
                "if index < 0]",
                COUNTS_TEST,
            ),
            (
                "no pixel at all is a mean IoU of 0",
                "msl_jax/evaluation/confusion.py",
                "if len(present) else None",
                "if len(present) else 0.0",
                ("tests/evaluation/test_confusion.py",),
            ),
            (
                "what was not measured is the best",
                "msl_jax/runs/checkpoints.py",
                "return old if after is None else new",
                "return new",
                ("tests/test_checkpoints.py",),
            ),
            (
                "palettes never contradict",
                LABELS,
                "> self.tolerance * ids.size",
                "> ids.size",
                LABELS_TEST,
            ),
            (
                "colours that are not listed are the nearest id",
                LABELS,
                "        if unknown.any():\n",
                "        if False:\n",
                LABELS_TEST,
            ),
            (
                "train ids are read as the data set's own",
                "msl_jax/data/label_sets.py",
                "return bool(named) and fits and",
                "return False and",
                LABELS_TEST,
            ),
            (
                "a label of the stored pixels lies on the upright photo as it is",
                IMAGES,
                "return _TURNS[photo.orientation](label), (AS_STORED,)",
                "return label.reshape(upright), (AS_STORED,)",
                IMAGES_TEST,
            ),
            (
                "photos are not turned upright",
                IMAGES,
                "image = ImageOps.exif_transpose(image)",
                "pass",
                IMAGES_TEST,
            ),
            (
                "the adaptation asks for labels of the target",
                "msl_jax/data/splits.py",
                "dataset if labels else without_labels(dataset),",
                "dataset,",
                ("tests/data/test_unlabelled.py",),
            ),
        )
    )
]
