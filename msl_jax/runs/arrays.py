"""Trees of arrays in folders: written by orbax, read by tensorstore, which orbax is built on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from absl import logging as absl_logging
from flax.traverse_util import unflatten_dict

from msl_jax.runtime.errors import DamagedError, UserError
from msl_jax.runtime.files import expect_plausible, read_text
from msl_jax.runtime.paths import storable

# A network may have many zeros, which take no room. The paper's takes a third of this.
_ALWAYS_ALLOWED = 2**29
_ADVICE = "Use the weights that it was converted from, or another checkpoint."


def digest(tree: Any) -> str:
    """SHA-256 of all arrays' values: tells weights apart, wherever they come from."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(tree)):
        found.update(np.ascontiguousarray(leaf))
    return found.hexdigest()


def write_tree(folder: Path, tree: Any) -> None:
    """Writes a tree of arrays into a folder of its own, which must not exist yet.

    The calling process writes all of it; no other process takes part.

    Raises:
        OSError: the disk is full, the parent folder does not exist, or the like.
        UserError: arrays cannot be stored at this path, see `msl_jax.runtime.paths.storable`.
    """
    folder = storable(folder, "checkpoint")
    folder.parent.stat()  # orbax would silently create a missing one
    handler = _ArrayHandler()
    registry = ocp.type_handlers.create_type_handler_registry((np.ndarray, handler))
    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=this, active_processes={this})
    try:
        with (
            _quiet_orbax(),
            ocp.Checkpointer(
                ocp.PyTreeCheckpointHandler(
                    type_handler_registry=registry, multiprocessing_options=alone
                ),
                multiprocessing_options=alone,
            ) as checkpointer,
        ):
            checkpointer.save(folder, jax.device_get(tree))
        if handler.errors:
            raise handler.errors[0]
    except Exception as error:  # orbax and tensorstore wrap the system's errors in their own
        first = handler.errors[0] if handler.errors else error
        raise _as_os_error(folder, first) from first


class _ArrayHandler(ocp.type_handlers.NumpyHandler):
    """Passes the arrays that orbax saves to tensorstore.

    Replaces orbax's own handler, which asks tensorstore for a description of each array's location
    that is never freed: 250 bytes per array and checkpoint (orbax 0.12.8, tensorstore 0.1.86:
    ``KvStore.Spec.to_json``). Also, after the first error it closes the event loop that pending
    arrays report to, and each of them prints a traceback later.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []  # of single arrays, raised after all have been tried

    async def serialize(
        self,
        values: Sequence[np.ndarray],
        infos: Sequence[ocp.type_handlers.ParamInfo],
        args: Any = None,
    ) -> Sequence[Any]:
        """Writes arrays into the folder that orbax has created; done when it returns."""
        await asyncio.gather(*map(self._write, values, infos))
        return []

    async def _write(self, value: np.ndarray, info: ocp.type_handlers.ParamInfo) -> None:
        try:
            await info.await_path_creation()
            spec = _storage(Path(info.parent_dir), info.name)
            whole = {"shape": value.shape, "chunks": value.shape}
            spec["metadata"] = {**whole, "compressor": {"id": "zstd", "level": 1}}
            store = await tensorstore.open(
                spec, create=True, open=True, dtype=value.dtype, context=info.ts_context
            )
            await store.write(value, can_reference_source_data_indefinitely=True)
        except Exception as error:
            self.errors.append(error)


@contextlib.contextmanager
def _quiet_orbax() -> Iterator[None]:
    """Keeps orbax's log of a failure off the console: the error is raised as well."""
    before = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.FATAL)
    try:
        yield
    finally:
        absl_logging.set_verbosity(before)


def _as_os_error(folder: Path, error: Exception) -> OSError:
    """The system's error behind one of tensorstore's, whose message contains its code."""
    if isinstance(error, OSError):
        return error
    code = re.search(r"os_error_code='(\d+)'", str(error))
    if code is None:
        return OSError(f"{folder}: cannot be written ({error})")
    return OSError(int(code[1]), os.strerror(int(code[1])), str(folder))


Place = tuple[str, ...]  # of an array in its tree
Choose = Callable[[Mapping[Place, tuple[int, ...]]], Iterable[Place]]


def read_tree(folder: Path, choose: Choose = tuple) -> Any:
    """Reads nested dicts of arrays, with the shapes and dtypes they were saved with.

    Args:
        folder: written by `write_tree`, or ``STAGE/STEP/variables`` of a `Checkpoints`.
        choose: which arrays are read, by the shapes of all; raises an error where these are not as
            they should be. A file can claim any size, and memory is asked for only afterwards.

    Raises:
        DamagedError: damaged or incomplete.
        UserError: as `choose`, or it claims more than it holds.
    """
    return unflatten_dict(_read_arrays(folder, choose, bounded=True))


def read_parts(folder: Path) -> set[str]:
    """Names at the second level of a tree that `write_tree` wrote: the parts of its collections.

    Raises:
        DamagedError: damaged or incomplete.
        UserError: arrays cannot be stored at this path; nothing is known of the files.
    """
    folder = storable(folder, "checkpoint")
    with _naming_damage(folder):
        return {path[1] for path in _paths(folder) if len(path) > 1}


def read_like(folder: Path, like: Any) -> Any:
    """Reads what `write_tree` wrote, in the structure of `like`.

    Raises:
        DamagedError: damaged or incomplete.
        UserError: it has another structure.
    """
    leaves = ocp.tree.to_flat_dict(like)
    shapes = {path: np.shape(leaf) for path, leaf in leaves.items()}

    def choose(found: Mapping[Place, tuple[int, ...]]) -> Iterable[Place]:
        if wrong := sorted(path for path, shape in shapes.items() if found.get(path) != shape):
            first = f"{'/'.join(wrong[0])}, {len(wrong)} in all"
            raise UserError(f"checkpoint {folder} belongs to another network ({first})")
        return shapes  # what else there is belongs to another variant

    # Not bounded: there is room for `like`, and momenta of zeros take no room in files.
    found = _read_arrays(folder, choose, bounded=False)
    if any(found[path].dtype != np.asarray(leaf).dtype for path, leaf in leaves.items()):
        raise UserError(f"checkpoint {folder} belongs to another network (of other types)")
    # Copies: the next step reuses the state's memory, which must not be NumPy's.
    return jax.tree.map(jnp.array, ocp.tree.from_flat_dict(found, target=like))


def _read_arrays(folder: Path, choose: Choose, *, bounded: bool) -> dict[Place, np.ndarray]:
    """Arrays that orbax wrote, by their paths.

    Without orbax, whose reading takes 1.5 times as long and no less code.

    Args:
        folder: of the tree.
        choose: see `read_tree`.
        bounded: see `expect_plausible`.

    Raises:
        DamagedError: damaged or incomplete.
        UserError: it claims more than it holds; or arrays cannot be stored at this path, and
            nothing is known of the files.
    """
    folder = storable(folder, "checkpoint")
    size = _size(folder)
    with _naming_damage(folder):
        opening = {
            path: tensorstore.open(_storage(folder, ".".join(path)), open=True, read=True)
            for path in _paths(folder)
        }
        stores = {path: store.result() for path, store in opening.items()}
        shapes = {path: tuple(store.shape) for path, store in stores.items()}
        if any(s and stores[p].chunk_layout.read_chunk.shape != s for p, s in shapes.items()):
            raise ValueError("an array in parts of another size")
    chosen = tuple(choose(shapes))
    if bounded:
        opened = (stores[path] for path in chosen)
        claimed = sum(store.size * store.dtype.numpy_dtype.itemsize for store in opened)
        expect_plausible(claimed, size, _ALWAYS_ALLOWED, f"checkpoint {folder}: ", _ADVICE)
    with _naming_damage(folder):
        # All at once: each future starts when it is made.
        reading = {path: stores[path].read() for path in chosen}
        return {path: array.result() for path, array in reading.items()}


def _size(folder: Path) -> int:
    """Bytes of all files below a folder.

    Raises:
        DamagedError: something is neither a regular file, or a link to one, nor a folder.
            tensorstore would wait for ever for the writer of a pipe.
    """
    size = 0
    for path in folder.rglob("*"):
        if path.is_file():
            size += path.stat().st_size
        elif path.is_symlink() or not path.is_dir():
            raise DamagedError(
                f"checkpoint {folder} is damaged ({path.relative_to(folder)}: neither a regular"
                " file nor a folder)"
            )
    return size


def _paths(folder: Path) -> list[tuple[str, ...]]:
    """Paths of the arrays in the tree."""
    metadata = json.loads(read_text(folder / "_METADATA"))
    return [
        tuple(key["key"] for key in entry["key_metadata"])
        for entry in metadata["tree_metadata"].values()
        if not entry["value_metadata"]["skip_deserialize"]  # an empty branch
    ]


@contextlib.contextmanager
def _naming_damage(folder: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError:  # the files may be intact
        raise
    except Exception as error:  # tensorstore raises almost anything on damaged files
        raise DamagedError(
            f"checkpoint {folder} is damaged or incomplete ({type(error).__name__}); copy it again"
            " or use another"
        ) from error


def _storage(folder: Path, name: str) -> dict[str, Any]:
    """Where tensorstore reads or writes an array, in a folder that is `storable`."""
    base = {"driver": "file", "path": f"{folder}/"}
    return {
        "driver": "zarr",
        "kvstore": {"driver": "ocdbt", "base": base, "path": f"{name}/"},
        # An array with a missing part is damaged, not zero there.
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": False,
    }
