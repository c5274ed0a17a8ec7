"""Batches: their shapes, on the devices, and for evaluation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from batches import Indices, equal, prepared_batches, take

from msl_jax.data.pipeline import TrainingBatches, evaluation_batches
from msl_jax.data.prefetch import Prefetch
from msl_jax.runtime.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]


def test_shapes(prepared) -> None:
    batch = next(prepared_batches(prepared))
    shapes = jax.tree.map(lambda array: (array.shape, str(array.dtype)), batch)
    assert shapes == {
        "source": {"image": ((3, 24, 32, 3), "uint8"), "label": ((3, 24, 32), "uint8")},
        "target": {"image": ((3, 24, 32, 3), "uint8")},
    }
    assert set(next(prepared_batches(prepared, target=False))) == {"source"}


def test_source_does_not_depend_on_the_target(prepared) -> None:
    alone, both = next(prepared_batches(prepared, target=False)), next(prepared_batches(prepared))
    assert equal(alone["source"], both["source"])


def test_damaged_record_reaches_the_caller() -> None:
    class Damaged(Indices):
        def __getitem__(self, index):
            raise UserError("record 0 is damaged")

    for threads in (0, 2):
        iterator = TrainingBatches(Damaged(4), None, batch_size=2, seed=0, threads=threads)
        with pytest.raises(UserError, match="record 0 is damaged"):
            next(iterator)


def test_position_that_is_none() -> None:
    iterator = TrainingBatches(Indices(4), None, batch_size=2, seed=0, threads=0)
    with pytest.raises(UserError, match="the checkpoint has no position of the input"):
        iterator.set_state({})


def test_prefetch_gives_the_same_batches_by_device(prepared) -> None:
    devices = jax.local_devices()[:1]
    prefetch = Prefetch(prepared_batches(prepared), devices=devices)
    for expected in take(prepared_batches(prepared), 5):
        batch = next(prefetch)
        assert isinstance(batch["source"]["image"], jax.Array)
        assert batch["source"]["image"].shape == (1, 3, 24, 32, 3)
        assert equal(jax.tree.map(lambda array: array[0], jax.device_get(batch)), expected)
    prefetch.close()


def test_prefetch_shows_the_next_batch(prepared) -> None:
    devices = jax.local_devices()[:1]
    prefetch = Prefetch(prepared_batches(prepared), devices=devices)
    for _ in range(3):
        state, seen = prefetch.get_state(), jax.device_get(prefetch.peek())
        assert prefetch.get_state() == state
        assert equal(seen, jax.device_get(next(prefetch)))
    prefetch.close()


def test_prefetch_state_counts_what_was_given_out(prepared) -> None:
    devices = jax.local_devices()[:1]
    plain = prepared_batches(prepared)
    prefetch = Prefetch(prepared_batches(prepared), depth=3, devices=devices)
    states = []
    for _ in range(4):
        states.append(prefetch.get_state())
        assert prefetch.get_state() == plain.get_state()
        next(prefetch)
        next(plain)
    prefetch.set_state(states[1])
    fresh = Prefetch(prepared_batches(prepared), devices=devices)
    fresh.set_state(states[1])
    plain.set_state(states[1])
    for expected in take(plain, 3):
        for iterator in (prefetch, fresh):
            assert equal(jax.device_get(next(iterator)), jax.tree.map(lambda a: a[None], expected))


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
from msl_jax.data.prefetch import Prefetch
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
