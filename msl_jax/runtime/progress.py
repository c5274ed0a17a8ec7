"""Progress on a terminal, with one look for all that takes time."""

from __future__ import annotations

import datetime
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


class Bar(Progress):
    """A bar with count, speed and time left that fills the width of the terminal.

    Where the output is not a terminal nothing is shown. Use as a context manager.
    """

    def __init__(
        self,
        title: str,
        total: int,
        *,
        done: int = 0,
        unit: str = "image",
        console: Console | None = None,
        wanted: bool = True,
    ) -> None:
        """Begins at `done`.

        Args:
            title: shown before the bar.
            total: how many there are.
            done: how many of them were done before.
            unit: what they are, in the singular.
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
        self._only: TaskID = self.add_task(title, total=total, completed=done, below="", rate=None)

    def move(self, done: int) -> None:
        """Moves the bar to `done`."""
        self.update(self._only, completed=done)

    def step(self) -> None:
        """Moves the bar by one."""
        self.advance(self._only)

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """The items; the bar moves by one for each."""
        for item in items:
            self.step()
            yield item

    def tell(self, below: str, rate: float | None = None) -> None:
        """Shows a line below the bar, and a speed in units per second that was measured."""
        self.update(self._only, below=below, rate=rate)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and the line below it."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if task.fields["below"]:
                yield Padding(Text(task.fields["below"]), (0, 0, 0, 2))


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
        """A measured speed, or else that of the last updates."""
        rate = task.fields["rate"] or task.speed
        return Text(pace(rate, task.remaining or 0, self._unit) if rate else "")
