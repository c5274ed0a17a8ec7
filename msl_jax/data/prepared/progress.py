"""A progress bar."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from tqdm import tqdm


@contextlib.contextmanager
def progress_bar(
    title: str, total: int, *, done: int = 0, wanted: bool = True
) -> Iterator[Callable[[], object]]:
    """Yields a function to call after each image.

    Args:
        title: what is at work.
        total: number of images.
        done: how many of them were done before.
        wanted: show the bar where stderr is a terminal.
    """
    # disable=None: no bar where stderr is a file.
    with tqdm(
        total=total, initial=done, desc=title, unit="image", disable=None if wanted else True
    ) as bar:
        yield bar.update
