"""Makes a set of records: examples in parallel, shards in order, and on from where it stopped."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msl_jax.data.dataset import Example
from msl_jax.data.encoding import Encoder, Row
from msl_jax.data.progress import progress_bar
from msl_jax.data.shards import UnfinishedSet
from msl_jax.data.workers import WorkerLost, choose_processes, mapped
from msl_jax.errors import UserError

# As many are made anew after a kill; 128 images of 1280x720 are about 200 MB.
EXAMPLES_PER_SHARD = 128


@dataclass(frozen=True)
class Plan:
    """What a set of records is made of, and how.

    Attributes:
        title: name of the set for a reader.
        split: name of the split.
        examples: its examples, in the order of the records.
        encode: makes the record of an example.
        skip_bad: an example that cannot be read is left out instead of ending the preparation.
        progress: show a progress bar where the terminal can.
        num_processes: see `records.prepare`.
    """

    title: str
    split: str
    examples: Sequence[Example]
    encode: Encoder
    skip_bad: bool = False
    progress: bool = True
    num_processes: int | None = None


def make(plan: Plan, folder: Path) -> None:
    """Makes `folder`, the set of records of `plan`, unless another process does so meanwhile.

    Raises:
        UserError: an example cannot be read; then nothing is left behind, unless it is a
            `WorkerLost`.
        OSError: the records cannot be written; likewise.
    """
    starts = range(0, len(plan.examples), EXAMPLES_PER_SHARD)
    chunks = [plan.examples[start : start + EXAMPLES_PER_SHARD] for start in starts]
    unfinished = UnfinishedSet(folder, plan.split, len(chunks))
    with unfinished.locked(lambda: _say_waiting(plan.title)):
        if folder.is_dir():
            unfinished.discard()
            return
        try:
            _finish(unfinished, plan, chunks)
            unfinished.publish()
        except WorkerLost:
            raise
        except (UserError, OSError):
            unfinished.discard()
            raise


def _finish(unfinished: UnfinishedSet, plan: Plan, chunks: Sequence[Sequence[Example]]) -> None:
    """Writes the shards that are missing."""
    before = unfinished.finished()
    bad = [text for index in sorted(before) for text in before[index].left_out]
    if bad and not plan.skip_bad:
        raise UserError(bad[0])
    missing = [index for index in range(len(chunks)) if index not in before]
    examples = [example for index in missing for example in chunks[index]]
    done, total = len(plan.examples) - len(examples), len(plan.examples)
    processes = choose_processes(plan.num_processes, len(examples))
    with (
        progress_bar(plan.title, total, done=done, wanted=plan.progress) as step,
        mapped(plan.encode, examples, processes) as outcomes,
    ):
        for index in missing:
            left_out: list[str] = []
            taken = itertools.islice(outcomes, len(chunks[index]))
            unfinished.add(index, _good(taken, left_out, plan.skip_bad, step), left_out)
            bad += left_out
    if len(bad) == total:
        raise UserError(f"No example of {plan.title} can be used; the first one: {bad[0]}")


def _good(
    outcomes: Iterable[Row | UserError],
    left_out: list[str],
    skip_bad: bool,
    step: Callable[[], object],
) -> Iterator[Row]:
    """Yields the records; messages of examples without one go to `left_out`, or end the work."""
    for outcome in outcomes:
        step()
        if not isinstance(outcome, UserError):
            yield outcome
        elif skip_bad:
            left_out.append(str(outcome))
        else:
            raise outcome


def _say_waiting(title: str) -> None:
    print(f"{title}: another process prepares it; waiting for that one", file=sys.stderr)
