"""`python predict.py`: predictions of a trained network for ordinary photos."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections.config_dict import ConfigDict

from msl_jax.commands.photo_batches import Batch, Photo, Reader
from msl_jax.commands.photo_plan import Plan, make_plan
from msl_jax.config.keys import flat
from msl_jax.data.labels import LabelSet
from msl_jax.data.listing import counted
from msl_jax.data.photo_inputs import find_inputs
from msl_jax.data.proportions import STRETCHED, stretch
from msl_jax.data.splits import open_classes
from msl_jax.runs import arrays
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import make_folder, remove_partial
from msl_jax.runtime.journal import Journal
from msl_jax.runtime.paths import absolute
from msl_jax.runtime.progress import Bar
from msl_jax.tasks.ensemble import build_together
from msl_jax.tasks.photos import PhotoOptions, PhotoResults, expect_new, network_size
from msl_jax.tasks.registry import task_of
from msl_jax.weights.find import Weights
from msl_jax.weights.trained import open_several

# In --output as long as something is missing there: what is done.
UNFINISHED = "unfinished.jsonl"
# Keys on which predictions depend, and beginnings of such keys.
_KEYS = ("target_size", "photo_size", "flip", "scales", "compute_dtype", "input_convention")
_GROUPS = ("model.", "source_augmentation.crop")  # the crop is that of a classification
_THREADS = min(16, (os.cpu_count() or 1) + 1)


class LeftOut(UserError):
    """Some photos could not be read; everything else is done."""


def predict(
    config: ConfigDict,
    checkpoint: str,
    inputs: str | Sequence[str],
    output: str,
    overrides: dict[str, Any] | None = None,
    options: PhotoOptions | None = None,
    every: int = 1,
) -> list[Path]:
    """Writes the predictions of photos, folders of photos, and videos.

    Segmentation writes ``labels/``, ``colors/`` and ``overlays/``, or what the options say, in PNG
    files of the photos' names and sizes: the logits are up-sampled to the photo's own size. The
    folder structure of the input is kept. Classification writes ``predictions.csv``: file, class
    and probability. Photos are found as for training (`msl_jax.data.photos`); stderr names what is
    not read.

    The same call goes on where a killed one stopped: until everything is there,
    ``unfinished.jsonl`` in the output says what is.

    Args:
        config: names the classes of a checkpoint that does not keep its own, as runs do.
        checkpoint: as `msl_jax.commands.evaluate.evaluate` takes it.
        inputs: a photo, a video, a folder that is searched with all its subfolders; or several.
        output: folder for the results, not inside a folder of photos; existing files are not
            overwritten.
        overrides: keys that replace those of the run's configuration.
        options: what is to be written, for segmentation.
        every: distance of the frames that are taken of videos.

    Returns:
        The label files, in order; for a classification, the one table.

    Raises:
        LeftOut: `on_bad_example` is "skip", and some photos were left out.
        UserError: there is no photo or one cannot be read, or the output exists or is inside the
            input.
    """
    sources = [absolute(path) for path in ([inputs] if isinstance(inputs, str) else inputs)]
    folder, options = absolute(output), options or PhotoOptions()
    trained = open_several(checkpoint, config, overrides or {})
    config = trained[0][1]
    label_set = _classes(trained[0][0], config, "classes_file" in (overrides or {}))
    found = find_inputs(sources)
    for remark in found.remarks:
        print(remark, file=sys.stderr)
    _refuse_inside(sources, folder)
    model, load = build_together(trained)
    results = task_of(config).photo_results(config, model, label_set, options, folder)
    journal = Journal(folder / UNFINISHED)
    done = {key: Path(name) for key, (name, _) in journal.rows.items()}
    sized, skip = functools.partial(network_size, config), config.on_bad_example == "skip"
    with _pool() as pool:
        to_check = sum(str(key) not in done for key in found.photos) + len(found.videos)
        with Bar("checking", to_check, unit="photo") as bar:
            plan = make_plan(found, every, done, sized, pool, skip=skip, step=bar.step)
        if "photo_size" not in (overrides or {}):
            _say_stretched(config, plan, of_a_run=trained[0][0].run is not None)
        maps = itertools.chain(*map(results.files, plan.names.values()))
        new = (*maps, *results.tables())
        begin = functools.partial(expect_new, new)
        if journal.settings is None:
            begin()
        variables = load()
        settings = {
            "inputs": [str(source) for source in sources],
            "every": every,
            "classes": label_set.to_json(),
            **_keys(config),
            **dataclasses.asdict(options),
            "digest of the weights": arrays.digest(variables)[:16],
        }
        journal.expect(settings)
        make_folder(folder, "--output")
        reader = Reader(sized, config.eval_batch_size, _THREADS, pool)
        batches = itertools.chain(
            reader.photos(plan.sizes, found.photos, plan.names),
            *(reader.frames(key, *wanted) for key, wanted in plan.videos.items()),
        )
        with journal.kept(settings, begin):
            if journal.settings is not None:  # the threads of a killed process may have left some
                names: dict[Path, list[str]] = {}
                for path in new:
                    names.setdefault(path.parent, []).append(path.name)
                for place, its in names.items():
                    remove_partial(place, its)
            compiling = "compiling the first batch"
            with Bar("predicting", plan.number, unit="photo", before=compiling) as bar:
                for photo, row in _predicted(results, variables, batches, pool, plan.failed):
                    journal.add(photo.key, [str(photo.name), row])
                    bar.step()
            rows = {key: journal.rows[key][1] for key in plan.names if key in journal.rows}
            files, where = results.close(rows, [plan.names[key] for key in rows])
            if not plan.bad:
                journal.discard()
    before = f" ({len(done)} of them before)" if done else ""
    print(f"{counted(len(rows), 'photo')}{before}: {where}")
    if plan.bad:
        listed = "\n  ".join(map(str, plan.bad))
        raise LeftOut(
            f"{counted(len(plan.bad), 'photo')} left out:\n  {listed}\n"
            "The same command adds what can be read by then."
        )
    return files


def _predicted(
    results: PhotoResults,
    variables: Any,
    batches: Iterable[Batch],
    pool: Executor,
    failed: Callable[[UserError], object],
) -> Iterator[tuple[Photo, Any]]:
    """Yields photos whose files are written, with their rows.

    While a batch is predicted, the next one is read and the last one is written.
    """
    writing: list[tuple[Photo, Future[Any]]] = []
    for batch in _one_ahead(batches):
        read = [future.result() for future in batch.photos]
        photos = [photo for photo in read if isinstance(photo, Photo)]
        for error in read:
            if isinstance(error, UserError):
                failed(error)
        new: list[tuple[Photo, Future[Any]]] = []
        for start in range(0, len(photos), batch.together):
            part = photos[start : start + batch.together]
            small = [photo.small for photo in part]
            small += small[-1:] * (batch.together - len(part))  # one program for all batches
            sizes = [(photo.image.shape[0], photo.image.shape[1]) for photo in part]
            predictions = results.predict(variables, np.stack(small), sizes)
            for photo, prediction in zip(part, predictions, strict=True):
                future = pool.submit(results.write, photo.name, photo.image, prediction)
                new.append((photo, future))
        yield from ((photo, future.result()) for photo, future in writing)
        writing = new
    yield from ((photo, future.result()) for photo, future in writing)


def _one_ahead(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches; each one is being read before the one before it is used."""
    waiting: deque[Batch] = deque()
    for batch in batches:
        waiting.append(batch)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


@contextlib.contextmanager
def _pool() -> Iterator[Executor]:
    pool = ThreadPoolExecutor(_THREADS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _classes(weights: Weights, config: ConfigDict, given: bool) -> LabelSet:
    """The classes of the network; `given`: the user names a file that lists them."""
    if weights.classes is not None and not given:
        return weights.classes
    return open_classes(config, "target_eval", weights.known)


def _keys(config: ConfigDict) -> dict[str, Any]:
    """The keys on which predictions depend."""
    every = flat(config).items()
    return {key: value for key, value in every if key in _KEYS or key.startswith(_GROUPS)}


def _say_stretched(config: ConfigDict, plan: Plan, *, of_a_run: bool) -> None:
    """Says so if proportions are not kept; or if they are, and nobody knows whether in training."""
    kept = config.photo_size != "target"
    target = tuple(config.target_size)
    videos = (video.size for video, numbers in plan.videos.values() if numbers)
    most = max((stretch(s, target) for s in (*plan.sizes.values(), *videos)), default=1.0)
    if most <= STRETCHED or (kept and of_a_run):
        return
    if kept:
        text = (
            "the images keep their proportions; if the training stretched its own to"
            f" {target[1]}x{target[0]} (target_size), --config.photo_size=target does the same"
        )
    else:
        text = (
            f"images enter the network at {target[1]}x{target[0]} (target_size), stretched by a"
            f" factor of up to {most:.1f}; --config.photo_size=shorter keeps their proportions,"
            " which is right where the training kept those of its own"
        )
    print(f"note: {text}", file=sys.stderr)


def _refuse_inside(sources: Iterable[Path], output: Path) -> None:
    """The next prediction would mistake results among the photos for photos."""
    for source in sources:
        if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
            raise UserError(
                f"--output {output} is inside --input {source}: the results would be mistaken for"
                " photos; give a folder elsewhere"
            )
