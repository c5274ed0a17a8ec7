"""Reads photos and frames ahead, in threads, and joins those of one size to batches."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import NamedTuple

import numpy as np

from msl_jax.data.images import read_image, resize_image
from msl_jax.data.limits import MAX_PIXELS
from msl_jax.data.listing import counted
from msl_jax.data.photo_inputs import frame_key, frame_name
from msl_jax.data.video import Video
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.photos import Size


class Photo(NamedTuple):
    """A photo to be predicted, or a frame.

    Attributes:
        key: by which it is known: the path below the input, of a frame with its number.
        name: of its PNG files.
        image: uint8 `[H, W, 3]`.
        small: as it enters the network, uint8 `[h, w, 3]`.
    """

    key: str
    name: Path
    image: np.ndarray
    small: np.ndarray


class Batch(NamedTuple):
    """Photos that enter the network at one size.

    Attributes:
        photos: in order; an error in the place of one that cannot be read.
        together: how many enter the network at a time.
    """

    photos: list[Future[Photo | UserError]]
    together: int


class Reader(NamedTuple):
    """How photos are read.

    Attributes:
        network_size: size in the network of a photo's size.
        batch_size: how many enter the network at a time.
        threads: of the pool.
        pool: reads them.
    """

    network_size: Callable[[Size], Size]
    batch_size: int
    threads: int
    pool: Executor

    @property
    def _most(self) -> int:
        """Photos of a batch: work for all threads."""
        return -(-self.threads // self.batch_size) * self.batch_size

    def photos(
        self, sizes: Mapping[Path, Size], paths: Mapping[Path, Path], names: Mapping[str, Path]
    ) -> Iterator[Batch]:
        """Batches of photos, in their order as far as they enter the network at one size.

        Args:
            sizes: (height, width) of the photos, by their paths below the input.
            paths: of their files.
            names: of their PNG files, by their keys.
        """

        def read(key: Path) -> Photo | UserError:
            try:
                image = read_image(paths[key])
                if image.shape[:2] != sizes[key]:
                    raise UserError(
                        f"{paths[key]}: its size is not what it was when it was checked: the file"
                        " was replaced meanwhile. Give the same command again."
                    )
                return self._photo(str(key), names[str(key)], image)
            except UserError as error:
                return error

        groups: defaultdict[Size, list[Path]] = defaultdict(list)
        for key, size in sizes.items():
            groups[self.network_size(size)].append(key)
        for group in groups.values():
            together = min(self.batch_size, len(group))
            for part in _parts(group, sizes, self._most):
                yield Batch([self.pool.submit(read, key) for key in part], together)

    def frames(self, key: Path, video: Video, numbers: Sequence[int]) -> Iterator[Batch]:
        """Batches of a video's frames; if some do not come, an error is in the place of all those.

        Args:
            key: the video's path below the input.
            video: the file.
            numbers: of the frames that are wanted.
        """
        missing = set(numbers)
        errors: list[UserError] = []
        if not missing:
            return

        def read() -> Iterator[tuple[int, np.ndarray]]:
            try:
                for number, frame in enumerate(video.read()):
                    if number in missing:
                        missing.remove(number)
                        yield number, frame
            except UserError as error:
                errors.append(error)

        height, width = video.size
        most = max(1, min(self._most, MAX_PIXELS // (height * width)))
        together = min(self.batch_size, most, len(missing))
        found = read()
        while part := list(itertools.islice(found, most)):
            yield Batch(
                [
                    self.pool.submit(
                        self._photo, frame_key(key, number), frame_name(key, number), frame
                    )
                    for number, frame in part
                ],
                together,
            )
        if missing:
            reason = errors[0] if errors else f"{video.path}: it ends early."
            lost = f"{counted(len(missing), 'frame')} did not come, the first one {min(missing):06}"
            yield Batch([self.pool.submit(UserError, f"{reason} {lost}")], together)

    def _photo(self, key: str, name: Path, image: np.ndarray) -> Photo:
        height, width, _ = image.shape
        return Photo(key, name, image, resize_image(image, self.network_size((height, width))))


def _parts(keys: list[Path], sizes: Mapping[Path, Size], most: int) -> Iterator[list[Path]]:
    """At most `most` photos, and no more pixels than the largest photo may have."""
    part: list[Path] = []
    pixels = 0
    for key in keys:
        height, width = sizes[key]
        if part and (len(part) == most or pixels + height * width > MAX_PIXELS):
            yield part
            part, pixels = [], 0
        part.append(key)
        pixels += height * width
    yield part
