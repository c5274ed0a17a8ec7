"""The label table: numbers and names of the benchmarks' classes, and what is derived from them."""

from __future__ import annotations

import numpy as np
import pytest

from msl_jax.data.label_sets import LABEL_SETS, cityscapes_ids, synthia_ids
from msl_jax.data.labels import IGNORE, UNKNOWN, id_lookup


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("camvid", 11),
        ("demo", 10),
        ("cityscapes19", 19),
        ("cityscapes16", 16),
        ("cityscapes13", 13),
        ("idd_lite", 7),
    ],
)
def test_sets_have_distinct_classes(name: str, count: int) -> None:
    labels = LABEL_SETS[name]
    assert labels.name == name
    assert labels.num_classes == len(set(labels.names)) == count
    assert len({label.color for label in labels.classes}) == count


def test_cityscapes_order_and_ids() -> None:
    names = LABEL_SETS["cityscapes19"].names
    assert names[:3] == ("road", "sidewalk", "building")
    assert names[6:8] == ("traffic light", "traffic sign")
    assert names[-1] == "bicycle"
    ids = cityscapes_ids(LABEL_SETS["cityscapes19"])
    # The pairs of the benchmark, as in cityscapesscripts.
    expected = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11}
    expected |= {25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    assert {i: t for i, t in ids.items() if t != IGNORE} == expected
    assert sorted(ids) == list(range(34))


def test_subsets_renumber_and_keep_order() -> None:
    labels = LABEL_SETS["cityscapes16"]
    ids = cityscapes_ids(labels)
    assert sorted(t for t in ids.values() if t != IGNORE) == list(range(16))
    assert ids[22] == ids[27] == ids[31] == IGNORE  # terrain, truck, train
    assert labels.names[ids[33]] == "bicycle"
    thirteen = labels.indices(LABEL_SETS["cityscapes13"].names)
    assert thirteen == (0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)


def test_joined_classes() -> None:
    """Each of Cityscapes' 19 belongs to one of IDD-Lite's seven, everything else to none."""
    labels, ids = LABEL_SETS["idd_lite"], cityscapes_ids(LABEL_SETS["idd_lite"])
    parts = [name for label in labels.classes for name in label.parts]
    assert sorted(parts) == sorted(LABEL_SETS["cityscapes19"].names)
    found = {label_id: labels.names[t] for label_id, t in ids.items() if t != IGNORE}
    assert len(found) == 19
    assert [found[i] for i in (7, 8, 22, 25, 33, 13, 20)] == [
        *("drivable", "non-drivable", "non-drivable", "living things", "vehicles"),
        *("roadside objects", "roadside objects"),
    ]
    assert [found[i] for i in (11, 21, 23)] == ["far objects", "far objects", "sky"]


def test_synthia_ids() -> None:
    ids = synthia_ids(LABEL_SETS["cityscapes19"])
    assert sorted(ids) == list(range(23))
    assert sorted(t for t in ids.values() if t != IGNORE) == list(range(19))
    assert [i for i, t in ids.items() if t == IGNORE] == [0, 13, 14, 22]
    assert sorted(synthia_ids(LABEL_SETS["cityscapes13"]).values())[12:14] == [12, IGNORE]


def test_indices_refuse_a_foreign_class() -> None:
    with pytest.raises(ValueError, match=r"no classes \['train'\]"):
        LABEL_SETS["cityscapes13"].indices(["train"])


def test_palette() -> None:
    palette = LABEL_SETS["cityscapes19"].palette
    assert palette.shape == (256, 3)
    assert palette.dtype == np.uint8
    assert palette[10].tolist() == [70, 130, 180]  # sky, wrong in the official code
    assert palette[IGNORE].tolist() == [0, 0, 0]


def test_lookup_tells_unknown_from_ignored() -> None:
    table = id_lookup({3: 0, 7: IGNORE}, size=65536)
    assert table.shape == (65536,)
    assert (table[3], table[7], table[8]) == (0, IGNORE, UNKNOWN)
