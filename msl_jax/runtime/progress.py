"""Progress on a terminal, with one look for all that takes time."""

from __future__ import annotations

import datetime
import math
import re
import textwrap
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

T = TypeVar("T")

# Seconds from the first step for which no speed is counted: steps that come together, as those of
# a batch do, would show one that nothing keeps up.
_UNMEASURED = 1.0


class Bar(Progress):
    """A bar with count, speed and time left that fills the width of the terminal.

    The speed is that since the first step, which waits for compilers and caches. Where the output
    is not a terminal nothing is shown. Use as a context manager.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        done: int = 0,
        unit: str = "image",
        before: str = "",
        console: Console | None = None,
        wanted: bool = True,
    ) -> None:
        """Begins at `done`.

        Args:
            title: shown before the bar.
            total: how many there are.
            done: how many of them were done before.
            unit: what they are, in the singular.
            before: shown below the bar until its first step.
            console: default is stderr.
            wanted: show the bar if there is a terminal.
        """
        console = console or Console(stderr=True)
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _Pace(unit),
            console=console,
            expand=True,
            disable=not (wanted and console.is_terminal),
        )
        self._only: TaskID = self.add_task(
            title, total=total, completed=done, below=before, rate=None, measured=None
        )
        self._done, self._first = done, math.inf
        self._clock, self._clock_done = math.nan, done

    def move(self, done: int) -> None:
        """Moves the bar to `done`."""
        now = time.monotonic()
        if self._first == math.inf:
            self.tell("")
        self._done, self._first = done, min(self._first, now)
        if now - self._first < _UNMEASURED:
            self._clock, self._clock_done = now, done
            measured = None
        else:
            measured = (done - self._clock_done) / (now - self._clock)
        self.update(self._only, completed=done, measured=measured)

    def step(self) -> None:
        """Moves the bar by one."""
        self.move(self._done + 1)

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """The items; the bar moves by one for each that has been used."""
        for item in items:
            yield item
            self.step()

    def tell(self, below: str, rate: float | None = None) -> None:
        """Shows a line below the bar, and a speed in units per second that was measured.

        Args:
            below: breaks, where it is too long, between parts that two spaces separate.
            rate: instead of what the bar measures.
        """
        self.update(self._only, below=below, rate=rate)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and the line below it."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["below"]:
                lines = _wrapped(task.fields["below"], self.console.width - 2)
                yield Padding(Text("\n".join(lines)), (0, 0, 0, 2))


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, broken between parts that two spaces separate.

    >>> _wrapped("source/final 0.25  target/final -0.01  a 1", 36)
    ['source/final 0.25', 'target/final -0.01  a 1']
    """
    parts = re.sub("(?<! ) (?! )", "\N{NO-BREAK SPACE}", text)
    found = textwrap.wrap(parts, max(width, 1), break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in found]


def pace(rate: float, remaining: float, unit: str) -> str:
    """Speed and time left.

    >>> pace(0.5, 60, "step")
    '0.50 steps/s  0:02:00 left'
    """
    left = datetime.timedelta(seconds=int(remaining / rate))
    return f"{rate:.{2 if rate < 10 else 0}f} {unit}s/s  {left} left"


class _Pace(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The speed that was told, or else what the bar has measured."""
        rate = task.fields["rate"] or task.fields["measured"]
        return Text(pace(rate, task.remaining or 0, self._unit) if rate else "")
