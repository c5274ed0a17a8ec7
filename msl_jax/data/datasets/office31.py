"""Office-31: photos of 31 classes of office objects in three domains (Saenko et al. 2010).

Layout: `{amazon,dslr,webcam}/images/CLASS/*.jpg`, with or without the folders `images`. All images
of a domain are used both for training and for evaluation, the standard protocol: all source images
labelled, all target images unlabelled, accuracy on the latter.
"""

from __future__ import annotations

from typing import ClassVar

from msl_jax.data.datasets.class_dataset import ClassDataset, class_label_set

CLASSES = (
    *("back_pack", "bike", "bike_helmet", "bookcase", "bottle", "calculator", "desk_chair"),
    *("desk_lamp", "desktop_computer", "file_cabinet", "headphones", "keyboard"),
    *("laptop_computer", "letter_tray", "mobile_phone", "monitor", "mouse", "mug"),
    *("paper_notebook", "pen", "phone", "printer", "projector", "punchers", "ring_binder"),
    *("ruler", "scissors", "speaker", "stapler", "tape_dispenser", "trash_can"),
)


class Office31(ClassDataset):
    """Amazon's product photos, a DSLR camera's and a webcam's."""

    name = "office31"
    title = "Office-31"
    layout = "{amazon,dslr,webcam}/images/CLASS/*.jpg"
    expected: ClassVar = {"amazon": 2817, "dslr": 498, "webcam": 795}
    splits = tuple(expected)
    label_sets = (class_label_set("office31", CLASSES),)
