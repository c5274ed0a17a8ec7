"""Which photos and frames are to be predicted, checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

from msl_jax.data.images import read_image
from msl_jax.data.photo_inputs import Inputs, expect_apart, frame_key, frame_name, result_names
from msl_jax.data.video import Video
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.photos import Size

_SKIP = "With --config.on_bad_example=skip such photos are left out and named."


class Plan(NamedTuple):
    """What is to be predicted.

    Attributes:
        names: of the PNG files of all photos and frames, by their keys, in order.
        sizes: (height, width) of the photos that are not done, by their paths below the input.
        videos: with the numbers of the frames that are not done, by their paths below the input.
        skip: go on where something cannot be read.
        bad: what cannot be read.
    """

    names: dict[str, Path]
    sizes: dict[Path, Size]
    videos: dict[Path, tuple[Video, list[int]]]
    skip: bool
    bad: list[UserError]

    @property
    def number(self) -> int:
        """Of photos and frames that are not done."""
        return len(self.sizes) + sum(len(numbers) for _, numbers in self.videos.values())

    def failed(self, error: UserError) -> None:
        """Notes what cannot be read.

        Raises:
            UserError: it is not to be skipped.
        """
        if not self.skip:
            raise UserError(f"{error}\n{_SKIP}") from error
        self.bad.append(error)


def make_plan(
    inputs: Inputs,
    every: int,
    done: Mapping[str, Path],
    network_size: Callable[[Size], Size],
    pool: Executor,
    *,
    skip: bool,
    step: Callable[[], object],
) -> Plan:
    """Reads everything that is not done.

    Args:
        inputs: what was found.
        every: distance of the frames that are taken of videos.
        done: names of the PNG files of photos and frames that are done, by their keys.
        network_size: size in the network of a photo's size; raises a `UserError` if it has none.
        pool: reads photos.
        skip: go on where something cannot be read.
        step: called after each photo that is not done, and each video.

    Raises:
        UserError: results of two photos would have one name; or something cannot be read, which
            may be left out by `skip` unless it is everything.
    """
    png = result_names(inputs.photos)
    expect_apart(inputs, png)
    plan = Plan({str(key): name for key, name in png.items()}, {}, {}, skip, [])
    for key, path in inputs.videos.items():
        try:
            video = Video(path)
            network_size(video.size)
        except UserError as error:
            plan.failed(error)
        else:
            every_frame = {n: frame_key(key, n) for n in range(0, video.frames, every)}
            plan.names.update((name, frame_name(key, n)) for n, name in every_frame.items())
            plan.videos[key] = (video, [n for n, name in every_frame.items() if name not in done])
        step()
    _expect_same_names(plan.names, done)

    def read(path: Path) -> Size | UserError:
        try:
            height, width, _ = read_image(path).shape
            network_size((height, width))
        except UserError as error:
            return error
        return height, width

    missing = {key: path for key, path in inputs.photos.items() if str(key) not in done}
    for key, found in zip(missing, pool.map(read, missing.values()), strict=True):
        step()
        if isinstance(found, UserError):
            plan.failed(found)
        else:
            plan.sizes[key] = found
    if not (plan.sizes or plan.videos or done):
        raise UserError(f"no photo can be read; the first one: {plan.bad[0]}")
    return plan


def _expect_same_names(names: Mapping[str, Path], done: Mapping[str, Path]) -> None:
    """Checks that photos that came later do not take the names of results that are there."""
    whose = {name: key for key, name in done.items()}
    for key, name in names.items():
        if whose.get(name, key) != key:
            raise UserError(
                f"--input: {key} would be written to {name}, as {whose[name]} was before; rename it"
            )
