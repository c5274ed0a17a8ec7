"""Whether files are those that they were, without reading them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path

from msl_jax.runtime.progress import Bar

_MANY = 5_000  # files, for which it may take seconds


def files_fingerprint(root: Path, paths: Iterable[Path]) -> str:
    """Returns a digest of the paths, sizes and times of files.

    Records are only found again while nothing has changed, so that a fixed label or an added frame
    never leaves stale records behind. Of the two times, that of the last modification is often set
    to the original's (`rsync -a`, archives); that of the last change of the file's entry cannot be.

    Args:
        root: folder of the data set.
        paths: its files in any order, each once; those that are not there do not count.
    """
    digest = hashlib.sha256(os.fsencode(root.resolve()))
    ordered = sorted(paths, key=attrgetter("parts"))
    with Bar("looking for changes", len(ordered), unit="file", wanted=len(ordered) >= _MANY) as bar:
        for place, path in enumerate(ordered):
            if place % 1000 == 0:
                bar.move(place)  # once for each would take longer than all else
            try:
                status = os.stat(path)
            except OSError:  # who reads it says so
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            # Not every name is valid UTF-8.
            times = f"{status.st_mtime_ns}\t{status.st_ctime_ns}"
            digest.update(os.fsencode(f"\n{path}\t{status.st_size}\t{times}"))
        bar.move(len(ordered))
    return digest.hexdigest()[:16]
