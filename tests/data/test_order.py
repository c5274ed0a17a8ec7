"""Order and pixels of a run: the same for all readers, processes and interruptions."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import jax
import numpy as np
import pytest
from batches import ALL, Indices, equal, prepared_batches, take

from msl_jax.data.augment import Augmentation
from msl_jax.data.pipeline import TrainingBatches, example_keys

PLAIN = Augmentation(mirror=False, blur=False)


def _order(count: int, steps: int, batch_size: int = 1, **kwargs) -> dict[str, list[int]]:
    iterator = TrainingBatches(
        Indices(count),
        Indices(count),
        batch_size=batch_size,
        source_augmentation=PLAIN,
        target_augmentation=PLAIN,
        threads=0,
        **kwargs,
    )
    batches = take(iterator, steps)
    return {
        domain: [int(i) for b in batches for i in b[domain]["image"][:, 0, 0, 0]]
        for domain in ("source", "target")
    }


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


def test_keys_are_those_of_the_examples() -> None:
    order = _order(10, steps=6, batch_size=4, seed=3)
    for domain, images in order.items():
        for first in (0, 8, 20):
            keys = example_keys(Indices(10), domain, first, 4, seed=3)
            assert keys == [str(index) for index in images[first : first + 4]]


class OneImage(Indices):
    """Records of a single image of noise, of which no two augmentations are the same."""

    def __init__(self) -> None:
        super().__init__(1)

    def __getitem__(self, index: int) -> dict[str, object]:
        image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
        return {"key": "one", "image": image, "label": image[..., 0]}


def _augmented(steps: int, **options) -> dict[str, list[bytes]]:
    iterator = TrainingBatches(
        OneImage(),
        OneImage(),
        batch_size=1,
        source_augmentation=ALL,
        target_augmentation=ALL,
        threads=0,
        **options,
    )
    batches = take(iterator, steps)
    return {
        domain: [batch[domain]["image"].tobytes() for batch in batches]
        for domain in ("source", "target")
    }


def test_augmentation_differs_between_epochs() -> None:
    for images in _augmented(20, seed=0).values():
        assert len(set(images)) == 20


def test_domains_and_seeds_have_augmentations_of_their_own() -> None:
    found = [images for seed in (0, 1) for images in _augmented(10, seed=seed).values()]
    assert len(set().union(*found)) == 4 * 10
    assert _augmented(10, seed=1)["target"] == found[3]


def test_each_domain_has_the_changes_that_are_meant_for_it() -> None:
    iterator = TrainingBatches(
        OneImage(),
        OneImage(),
        batch_size=1,
        seed=0,
        source_augmentation=Augmentation(crop=(5, 6)),
        target_augmentation=Augmentation(crop=(7, 8)),
        threads=0,
    )
    batch = next(iterator)
    assert batch["source"]["image"].shape[1:3] == batch["source"]["label"].shape[1:] == (5, 6)
    assert batch["target"]["image"].shape[1:3] == (7, 8)


@pytest.mark.parametrize("threads", [0, 4])
def test_threads_do_not_change_batches(prepared, threads: int) -> None:
    expected = take(prepared_batches(prepared, threads=1), 12)
    assert equal(take(prepared_batches(prepared, threads=threads), 12), expected)


def _resumed(iterator, state: dict[str, object]):
    iterator.set_state(json.loads(json.dumps(state)))
    return iterator


@pytest.mark.parametrize("process", [(0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("threads", [1, 4])
def test_a_run_can_be_resumed_at_any_step(prepared, threads: int, process) -> None:
    # 8 and 5 examples in batches of 3: the steps go through several epochs of both domains.
    expected = take(prepared_batches(prepared, process=process, threads=0), 12)
    running = prepared_batches(prepared, process=process, threads=threads)
    for step in range(10):
        other = prepared_batches(prepared, process=process, threads=5 - threads)
        resumed = _resumed(other, running.get_state())
        assert equal(take(resumed, 3), expected[step : step + 3])
        resumed.close()
        assert equal(next(running), expected[step])
    running.close()


def test_a_running_iterator_can_be_set_back(prepared) -> None:
    iterator = prepared_batches(prepared, threads=4)
    take(iterator, 2)
    state = iterator.get_state()
    expected = take(iterator, 4)
    assert equal(take(_resumed(iterator, state), 4), expected)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("count", [10, 7])
def test_processes_share_each_epoch(count: int, batch_size: int) -> None:
    arguments = {"steps": 3 * count, "batch_size": batch_size, "seed": 0}
    shares = [_order(count, process=(index, 2), **arguments) for index in (0, 1)]
    for domain in ("source", "target"):
        both = np.stack([np.reshape(share[domain], (-1, batch_size)) for share in shares], 1)
        epochs = both.reshape(-1, count)
        assert len(epochs) == 6 * batch_size
        assert all(sorted(epoch) == list(range(count)) for epoch in epochs)


def test_two_processes_are_one_with_batches_twice_as_large(prepared) -> None:
    """A device reads the same as when all devices belong to a single process."""
    shares = [prepared_batches(prepared, batch_size=2, process=(index, 2)) for index in (0, 1)]
    for whole in take(prepared_batches(prepared, batch_size=4), 8):
        parts = jax.tree.map(lambda *arrays: np.concatenate(arrays), *(next(s) for s in shares))
        assert equal(parts, whole)


# (batch size, processes, steps): one device, four devices, two processes of three devices, ...
PARTS = [(1, 1, 3), (4, 1, 2), (3, 2, 3), (1, 3, 2), (5, 1, 1), (1, 1, 4)]


def test_runs_go_on_with_other_numbers_of_processes_and_devices(prepared) -> None:
    """Across all changes no example is read twice or left out, and all have the same pixels."""
    total = sum(size * count * steps for size, count, steps in PARTS)
    found, place = [], {"examples": 0}
    for size, count, steps in PARTS:
        readers = []
        for index in range(count):
            readers.append(prepared_batches(prepared, batch_size=size, process=(index, count)))
            readers[-1].set_state(json.loads(json.dumps(place)))
        for _ in range(steps):
            found += [next(reader) for reader in readers]
        places = [reader.get_state() for reader in readers]
        assert places == [places[0]] * count
        place = places[0]
        for reader in readers:
            reader.close()
    assert place == {"examples": total}
    together = jax.tree.map(lambda *arrays: np.concatenate(arrays), *found)
    assert equal(together, next(prepared_batches(prepared, batch_size=total, threads=0)))


def _digests(source, target, process: tuple[int, int], threads: int) -> list[str]:
    """Digests of the first batches; in a module, so that another process can import it."""
    iterator = TrainingBatches(
        source,
        target,
        batch_size=2,
        seed=5,
        source_augmentation=ALL,
        target_augmentation=ALL,
        process=process,
        threads=threads,
    )
    batches = take(iterator, 8)
    iterator.close()
    return [hashlib.sha256(b"".join(jax.tree.leaves(batch))).hexdigest() for batch in batches]


def test_other_processes_see_the_same_pixels(prepared) -> None:
    records = prepared("train_day"), prepared("test_dusk")
    expected = [_digests(*records, (host, 2), threads=0) for host in (0, 1)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_digests, *records, (host, 2), 1 + 3 * host) for host in (0, 1)]
        assert [job.result() for job in jobs] == expected
    assert not set(expected[0]) & set(expected[1])
