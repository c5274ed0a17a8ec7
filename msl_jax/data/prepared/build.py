"""Builds a set of records: examples in parallel, shards in order; resumes after a kill."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msl_jax.data.datasets.dataset import LEFT_OUT, Example, Kind
from msl_jax.data.prepared.encoding import Encoder, Row
from msl_jax.data.prepared.shards import PartialRecords
from msl_jax.data.prepared.workers import WorkerLost, choose_processes, mapped
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.progress import Bar

# So many are read again after a kill; 128 images of 1280x720 are about 200 MB.
EXAMPLES_PER_SHARD = 128


# A few bad files among thousands are an accident; with more of them something else is wrong: labels
# of another data set, half a download.
BAD_SHARE, BAD_NUMBER = 0.05, 10
_NAMED = 5  # of those, in the message


def max_skipped(examples: int) -> int:
    """How many of a number of examples may be skipped: 5 %, or 10 if that is more."""
    return max(BAD_NUMBER, int(BAD_SHARE * examples))


@dataclass(frozen=True)
class Plan:
    """What a set of records is built from, and how.

    Attributes:
        title: name of the set in messages.
        split: name of the split.
        examples: its examples, in the order of the records.
        encode: turns an example into its record.
        skip_bad: skip examples that cannot be read instead of stopping at the first one, up to
            `max_skipped`.
        progress: show a progress bar if stderr is a terminal.
        num_processes: see `records.prepare`.
        kind: what is labelled.
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
    """Builds `folder`, the set of records of `plan`, unless another process does so meanwhile.

    Raises:
        UserError: an example cannot be read, or too many of them. Nothing is left behind, except
            after a `WorkerLost`.
        OSError: the records cannot be written; likewise.
    """
    starts = range(0, len(plan.examples), EXAMPLES_PER_SHARD)
    chunks = [plan.examples[start : start + EXAMPLES_PER_SHARD] for start in starts]
    unfinished = PartialRecords(folder, plan.split, len(chunks), plan.kind)
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


def _finish(unfinished: PartialRecords, plan: Plan, chunks: Sequence[Sequence[Example]]) -> None:
    """Writes the shards that are missing."""
    before = unfinished.finished()
    bad = [text for index in sorted(before) for text in before[index].skipped]
    if bad and not plan.skip_bad:
        raise _with_advice(UserError(bad[0]))
    missing = [index for index in range(len(chunks)) if index not in before]
    examples = [example for index in missing for example in chunks[index]]
    done, total = len(plan.examples) - len(examples), len(plan.examples)
    processes = choose_processes(plan.num_processes, len(examples))
    with (
        Bar(plan.title, total, done=done, wanted=plan.progress) as bar,
        mapped(plan.encode, examples, processes) as outcomes,
    ):
        for index in missing:
            taken = itertools.islice(outcomes, len(chunks[index]))
            skipped: list[str] = []
            unfinished.add(index, _good(taken, plan, bad, skipped, bar.step), skipped)
            bad += skipped
    if len(bad) == total:
        raise UserError(f"No example of {plan.title} can be used; the first one: {bad[0]}")


def _good(
    outcomes: Iterable[Row | UserError],
    plan: Plan,
    before: Sequence[str],
    skipped: list[str],
    step: Callable[[], object],
) -> Iterator[Row]:
    """Yields the records of a shard; a bad example is skipped, or raised.

    Args:
        outcomes: of its examples: records, or errors of those that cannot be read.
        plan: what is being built.
        before: messages of the examples skipped in other shards.
        skipped: those of this shard are added here.
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
            raise _with_advice(outcome)
        skipped.append(str(outcome))
        bad, limit = [*before, *skipped], max_skipped(len(plan.examples))
        if len(bad) > limit:
            raise UserError(
                f"{plan.title}: {len(bad)} examples cannot be used so far, more than the {limit} of"
                f" {len(plan.examples)} that may be skipped. The first ones:\n  "
                + "\n  ".join(bad[:_NAMED])
            )


def _with_advice(error: UserError) -> UserError:
    """The error of an example, with the key that leaves it out."""
    return type(error)(f"{error} {LEFT_OUT}")


def _say_waiting(title: str) -> None:
    print(f"{title}: another process is preparing it; waiting for that one", file=sys.stderr)
