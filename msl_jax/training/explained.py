"""Batches that do not fit their passes, in words; while a step is traced, and at no cost after."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from jax import tree_util

# Of a batch as the passes of `msl_jax.methods` expect it.
_PARTS = (("source", "image"), ("source", "label"), ("target", "image"))


def expect_labels_of_images(batch: Any) -> None:
    """Refuses labels of pixels that are not those of the images, which a loss would stretch to.

    Args:
        batch: domains with "image" `[B, H, W, ...]` and "label": `[B]`, `[B, H, W]`, or packed soft
            labels `[B, H, W, 3]`. What is built otherwise is left to its passes.

    Raises:
        ValueError: labels of pixels of another shape.
    """
    for domain, part in batch.items() if isinstance(batch, Mapping) else ():
        if not isinstance(part, Mapping) or not {"image", "label"} <= part.keys():
            continue
        expected, found = tuple(part["image"].shape[:3]), tuple(part["label"].shape)
        if len(found) > 2 and found not in (expected, (*expected, 3)):
            raise ValueError(
                f"batch[{domain!r}]['label']: expected {list(expected)}, a label for each pixel of"
                f" batch[{domain!r}]['image'], found {list(found)}; crop or resize both alike."
            )


@contextlib.contextmanager
def explained(axis_name: str | None, batch: Any) -> Iterator[None]:
    """Says what is wrong where passes do not fit the step or the batch that they get.

    Args:
        axis_name: that of the step.
        batch: what the step was given.

    Raises:
        ValueError: instead of JAX's `NameError` of an axis that is not there, or the `KeyError` of
            a part that the batch lacks.
    """
    try:
        yield
    except NameError as error:
        _, known, axis = str(error).partition("unbound axis name: ")
        if not known:
            raise
        axis = axis.partition(".")[0].strip()
        raise ValueError(
            f"axis_name={axis_name!r}: the step does not run on a device axis {axis!r}, over which"
            " one of its passes sums (or `prepare` or `carry`). Give the step and its passes the"
            " same axis_name: under jax.jit alone, sharded or not, None, as in passes(...,"
            " axis_name=None)."
        ) from error
    except KeyError as error:
        paths = [path for path, _ in tree_util.tree_flatten_with_path(batch)[0]]
        there = [tuple(getattr(entry, "key", None) for entry in path) for path in paths]
        if not any(part not in there and set(error.args) & set(part) for part in _PARTS):
            raise  # of something else that a pass has looked for
        found = ", ".join(f"batch{tree_util.keystr(path)}" for path in paths) or "nothing"
        raise ValueError(
            f"the batch lacks {error.args[0]!r}, which one of the passes needs (or `prepare`):"
            " expected batch['source']['image'], batch['source']['label'] and, for an adaptation,"
            f" batch['target']['image'], found {found}. Add it, or leave out the pass:"
            " passes(..., adapt=False) has none on the target."
        ) from error
