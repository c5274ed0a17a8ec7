"""Batches: the same pixels for the same seed and step, from wherever the run continues."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest

from msl_jax.data.augment import Augmentation
from msl_jax.data.pipeline import Prefetch, evaluation_batches, training_batches
from msl_jax.errors import UserError

PLAIN = Augmentation(mirror=False, blur=False)
ALL = Augmentation(scale=(0.5, 2.0), jitter=0.5)
PROJECT = Path(__file__).resolve().parents[2]


def _batches(prepared, batch_size=3, seed=0, options=ALL, target=True, **kwargs):
    return training_batches(
        prepared("train_day"),
        prepared("test_dusk") if target else None,
        batch_size=batch_size,
        seed=seed,
        source_augmentation=options,
        target_augmentation=options,
        **kwargs,
    )


def _take(iterator, count: int) -> list:
    return [next(iterator) for _ in range(count)]


def _equal(first, second) -> bool:
    same = jax.tree.map(np.array_equal, first, second)
    return all(jax.tree.leaves(same))


class Indices:
    """Records whose pixels are their index."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, object]:
        image = np.full((2, 2, 3), index, np.uint8)
        return {"key": str(index), "image": image, "label": image[..., 0]}


def _order(count: int, steps: int, batch_size: int = 1, **kwargs) -> dict[str, list[int]]:
    iterator = training_batches(
        Indices(count),
        Indices(count),
        batch_size=batch_size,
        source_augmentation=PLAIN,
        target_augmentation=PLAIN,
        threads=0,
        **kwargs,
    )
    batches = _take(iterator, steps)
    return {
        domain: [int(i) for b in batches for i in b[domain]["image"][:, 0, 0, 0]]
        for domain in ("source", "target")
    }


def test_shapes(prepared) -> None:
    batch = next(_batches(prepared))
    shapes = jax.tree.map(lambda array: (array.shape, str(array.dtype)), batch)
    assert shapes == {
        "source": {"image": ((3, 24, 32, 3), "uint8"), "label": ((3, 24, 32), "uint8")},
        "target": {"image": ((3, 24, 32, 3), "uint8")},
    }
    assert set(next(_batches(prepared, target=False))) == {"source"}


def test_source_does_not_depend_on_the_target(prepared) -> None:
    alone, both = next(_batches(prepared, target=False)), next(_batches(prepared))
    assert _equal(alone["source"], both["source"])


def test_epochs_are_shuffled_anew_and_complete() -> None:
    # Batches of 4 over 10 examples: the third batch spans two epochs and loses nothing.
    order = _order(10, steps=25, batch_size=4, seed=3)
    for domain in order.values():
        epochs = [domain[start : start + 10] for start in range(0, 100, 10)]
        assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == 10


def test_domains_and_seeds_have_orders_of_their_own() -> None:
    order, again, other = (_order(50, 300, seed=seed) for seed in (0, 0, 1))
    assert order == again
    assert order["source"] != other["source"]
    # No fixed pairs: grain's epoch e of seed s is epoch e - 1 of seed s + 1.
    source, target = order["source"], order["target"]
    epochs = [tuple(stream[s : s + 50]) for stream in (source, target) for s in range(0, 300, 50)]
    assert len(set(epochs)) == 12


def test_one_example_and_batches_larger_than_an_epoch() -> None:
    assert _order(1, steps=2, batch_size=3, seed=0)["source"] == [0] * 6
    assert Counter(_order(2, steps=1, batch_size=6, seed=0)["source"]) == {0: 3, 1: 3}


def test_augmentation_differs_between_epochs() -> None:
    iterator = training_batches(
        Indices(1), None, batch_size=1, seed=0, source_augmentation=ALL, threads=0
    )
    labels = [batch["source"]["label"].tobytes() for batch in _take(iterator, 20)]
    assert len(set(labels)) > 1


@pytest.mark.parametrize("threads", [0, 4])
def test_threads_do_not_change_batches(prepared, threads: int) -> None:
    expected = _take(_batches(prepared, threads=1), 12)
    assert _equal(_take(_batches(prepared, threads=threads), 12), expected)


@pytest.mark.parametrize("step", [0, 1, 2, 5, 9])
def test_restored_iterator_continues_exactly(prepared, step: int) -> None:
    first = _batches(prepared, threads=2)
    _take(first, step)
    state = json.loads(json.dumps(first.get_state()))
    expected = _take(first, 4)
    second = _batches(prepared, threads=1)
    _take(second, 3)
    second.set_state(state)
    assert _equal(_take(second, 4), expected)
    first.set_state(state)
    assert _equal(_take(first, 4), expected)


def test_hosts_share_the_examples() -> None:
    orders = [_order(10, steps=5, seed=0, process=(host, 2))["source"] for host in (0, 1)]
    assert sorted(orders[0] + orders[1]) == list(range(10))


def test_damaged_record_reaches_the_caller() -> None:
    class Damaged(Indices):
        def __getitem__(self, index):
            raise UserError("record 0 is damaged")

    for threads in (0, 2):
        iterator = training_batches(Damaged(4), None, batch_size=2, seed=0, threads=threads)
        with pytest.raises(UserError, match="record 0 is damaged"):
            next(iterator)


def test_prefetch_gives_the_same_batches_by_device(prepared) -> None:
    devices = jax.local_devices()[:1]
    prefetch = Prefetch(_batches(prepared), devices=devices)
    for expected in _take(_batches(prepared), 5):
        batch = next(prefetch)
        assert isinstance(batch["source"]["image"], jax.Array)
        assert batch["source"]["image"].shape == (1, 3, 24, 32, 3)
        assert _equal(jax.tree.map(lambda array: array[0], jax.device_get(batch)), expected)
    prefetch.close()


def test_prefetch_state_counts_what_was_given_out(prepared) -> None:
    devices = jax.local_devices()[:1]
    plain = _batches(prepared)
    prefetch = Prefetch(_batches(prepared), depth=3, devices=devices)
    states = []
    for _ in range(4):
        states.append(prefetch.get_state())
        assert prefetch.get_state() == plain.get_state()
        next(prefetch)
        next(plain)
    prefetch.set_state(states[1])
    fresh = Prefetch(_batches(prepared), devices=devices)
    fresh.set_state(states[1])
    plain.set_state(states[1])
    for expected in _take(plain, 3):
        for iterator in (prefetch, fresh):
            assert _equal(jax.device_get(next(iterator)), jax.tree.map(lambda a: a[None], expected))


def test_prefetch_ends_with_its_iterator() -> None:
    class Finite:
        def __init__(self) -> None:
            self.left = 3

        def __next__(self):
            if not self.left:
                raise StopIteration
            self.left -= 1
            return {"x": np.full(2, self.left)}

        def get_state(self):
            return {"left": self.left}

    prefetch = Prefetch(Finite(), depth=2, devices=jax.local_devices()[:1])
    assert [int(batch["x"][0, 0]) for batch in prefetch] == [2, 1, 0]
    assert prefetch.get_state() == {"left": 0}
    prefetch.close()


def test_prefetch_feeds_pmap_without_another_copy() -> None:
    code = """
import jax, numpy as np
from msl_jax.data.pipeline import Prefetch
assert jax.local_device_count() == 2
class Batches:
    n = 0
    def __next__(self):
        self.n += 1
        return {"x": np.arange(4 * self.n, 4 * self.n + 4, dtype=np.int32)}
    def get_state(self): return {}
sums = jax.pmap(lambda batch: batch["x"].sum(), in_axes=0)
prefetch = Prefetch(Batches())
assert sums(next(prefetch)).tolist() == [9, 13]
with jax.transfer_guard("disallow"):
    result = sums(next(prefetch))
assert result.tolist() == [17, 21]
class Odd(Batches):
    def __next__(self): return {"x": np.zeros(3)}
try:
    next(Prefetch(Odd()))
except ValueError as error:
    assert "batch of 3 cannot be split over 2 devices" in str(error)
else:
    raise AssertionError
"""
    flags = "--xla_force_host_platform_device_count=2"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=PROJECT,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("threads", [0, 2])
def test_evaluation_goes_through_all_records_in_order(prepared, threads: int) -> None:
    records = prepared("test_dusk")
    batches = list(evaluation_batches(records, 2, threads=threads))
    assert [batch["count"] for batch in batches] == [2, 2, 1]
    keys = [key for batch in batches for key in batch["keys"]]
    assert keys == [records[i]["key"] for i in range(5)]
    for number, batch in enumerate(batches):
        assert batch["image"].shape == (2, 24, 32, 3)
        for row in range(batch["count"]):
            record = records[2 * number + row]
            np.testing.assert_array_equal(batch["image"][row], record["image"])
            np.testing.assert_array_equal(batch["label"][row], record["label"])
    assert (batches[-1]["label"][1] == 255).all()
    assert (batches[-1]["image"][1] == 0).all()


def test_evaluation_labels_at_either_size(prepared) -> None:
    records = prepared("test_dusk", keep_label_size=True)
    assert next(evaluation_batches(records, 2))["label"].shape == (2, 48, 64)
    small = next(evaluation_batches(records, 2, (24, 32)))["label"]
    np.testing.assert_array_equal(small[0], prepared("test_dusk")[0]["label"])


def test_evaluation_hosts_have_the_same_number_of_batches(prepared) -> None:
    records = prepared("test_dusk")
    shares = [list(evaluation_batches(records, 2, process=(host, 2))) for host in (0, 1)]
    assert [[batch["count"] for batch in share] for share in shares] == [[2, 1], [2, 0]]
    empty = shares[1][1]
    assert empty["image"].shape == (2, 24, 32, 3)
    assert (empty["label"] == 255).all()
    assert empty["keys"] == ()


def test_evaluation_of_labels_of_two_sizes() -> None:
    class Uneven(Indices):
        def __getitem__(self, index):
            record = super().__getitem__(index)
            return {**record, "label": np.zeros((2, 2 + index), np.uint8)}

    records = Uneven(2)
    records.folder = Path("uneven")
    with pytest.raises(UserError, match="2x2, 3x2"):
        next(evaluation_batches(records, 2, threads=0))
    assert next(evaluation_batches(records, 2, (2, 2), threads=0))["count"] == 2
