"""Makes a set of records: examples in parallel, shards in order, and on from where it stopped."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msl_jax.data.datasets.dataset import Example, Kind
from msl_jax.data.prepared.encoding import Encoder, Row
from msl_jax.data.prepared.progress import progress_bar
from msl_jax.data.prepared.shards import UnfinishedSet
from msl_jax.data.prepared.workers import WorkerLost, choose_processes, mapped
from msl_jax.runtime.errors import UserError

# As many are made anew after a kill; 128 images of 1280x720 are about 200 MB.
EXAMPLES_PER_SHARD = 128


# A few bad files among thousands are an accident; more of them, and something is wrong with all:
# labels of another data set, half a download.
BAD_SHARE, BAD_NUMBER = 0.05, 10
_NAMED = 5  # of those, in the message


def most_bad(examples: int) -> int:
    """How many of so many examples may be left out: 5 %, in small sets 10."""
    return max(BAD_NUMBER, int(BAD_SHARE * examples))


@dataclass(frozen=True)
class Plan:
    """What a set of records is made of, and how.

    Attributes:
        title: name of the set for a reader.
        split: name of the split.
        examples: its examples, in the order of the records.
        encode: makes the record of an example.
        skip_bad: an example that cannot be read is left out instead of ending the preparation,
            unless there are too many of them, see `most_bad`.
        progress: show a progress bar where the terminal can.
        num_processes: see `records.prepare`.
        kind: what labels are of.
    """

    title: str
    split: str
    examples: Sequence[Example]
    encode: Encoder
    skip_bad: bool = False
    progress: bool = True
    num_processes: int | None = None
    kind: Kind = "pixels"


def make(plan: Plan, folder: Path) -> None:
    """Makes `folder`, the set of records of `plan`, unless another process does so meanwhile.

    Raises:
        UserError: an example cannot be read, or too many of them; then nothing is left behind,
            unless it is a `WorkerLost`.
        OSError: the records cannot be written; likewise.
    """
    starts = range(0, len(plan.examples), EXAMPLES_PER_SHARD)
    chunks = [plan.examples[start : start + EXAMPLES_PER_SHARD] for start in starts]
    unfinished = UnfinishedSet(folder, plan.split, len(chunks), plan.kind)
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
            taken = itertools.islice(outcomes, len(chunks[index]))
            left_out: list[str] = []
            unfinished.add(index, _good(taken, plan, bad, left_out, step), left_out)
            bad += left_out
    if len(bad) == total:
        raise UserError(f"No example of {plan.title} can be used; the first one: {bad[0]}")


def _good(
    outcomes: Iterable[Row | UserError],
    plan: Plan,
    before: Sequence[str],
    left_out: list[str],
    step: Callable[[], object],
) -> Iterator[Row]:
    """Yields the records of a shard; an example without one is noted, or ends the work.

    Args:
        outcomes: what became of its examples.
        plan: what is being made.
        before: messages of the examples left out of other shards.
        left_out: the same of this one, to be added to.
        step: called after each example.

    Raises:
        UserError: an example cannot be read, or too many of them.
    """
    for outcome in outcomes:
        step()
        if not isinstance(outcome, UserError):
            yield outcome
            continue
        if not plan.skip_bad:
            raise outcome
        left_out.append(str(outcome))
        bad, limit = [*before, *left_out], most_bad(len(plan.examples))
        if len(bad) > limit:
            raise UserError(
                f"{plan.title}: {len(bad)} examples cannot be used so far, more than the {limit} of"
                f" {len(plan.examples)} that may be left out. The first ones:\n  "
                + "\n  ".join(bad[:_NAMED])
            )


def _say_waiting(title: str) -> None:
    print(f"{title}: another process prepares it; waiting for that one", file=sys.stderr)
