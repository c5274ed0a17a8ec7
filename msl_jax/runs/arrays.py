"""Trees of arrays in folders: written by orbax, read by tensorstore, which orbax stands on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
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


def write_tree(folder: Path, tree: Any) -> None:
    """Writes a tree of arrays into a folder of its own, which does not exist yet.

    The calling process writes all by itself; no other needs to take part.

    Raises:
        OSError: the disk is full, the folder above does not exist, or the like.
    """
    folder.parent.stat()  # orbax would make it anew where it has been lost
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
            checkpointer.save(folder.absolute(), jax.device_get(tree))
        if handler.errors:
            raise handler.errors[0]
    except Exception as error:  # orbax and tensorstore have their own for each of the system's
        first = handler.errors[0] if handler.errors else error
        raise _as_os_error(folder, first) from first


class _ArrayHandler(ocp.type_handlers.NumpyHandler):
    """Hands the arrays that orbax saves to tensorstore.

    Not by orbax's own handler: it asks tensorstore for a description of each array's place that
    is never freed again, 250 bytes an array and checkpoint (orbax 0.12.8, tensorstore 0.1.86:
    ``KvStore.Spec.to_json``). And after the first error it closes the event loop that the arrays
    still on their way report to, and each of them prints a traceback, whenever it comes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []  # of single arrays, kept until all have been tried

    async def serialize(
        self,
        values: Sequence[np.ndarray],
        infos: Sequence[ocp.type_handlers.ParamInfo],
        args: Any = None,
    ) -> Sequence[Any]:
        """Writes arrays into the folder that orbax has made; nothing is left to wait for."""
        await asyncio.gather(*map(self._write, values, infos))
        return []

    async def _write(self, value: np.ndarray, info: ocp.type_handlers.ParamInfo) -> None:
        try:
            await info.await_path_creation()
            spec = _storage(Path(info.parent_dir), "zarr", info.name)
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
    """Keeps what orbax logs of a failure off the console: it is raised as well."""
    before = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.FATAL)
    try:
        yield
    finally:
        absl_logging.set_verbosity(before)


def _as_os_error(folder: Path, error: Exception) -> OSError:
    """The system's error that lies behind one of tensorstore's, which names its code."""
    if isinstance(error, OSError):
        return error
    code = re.search(r"os_error_code='(\d+)'", str(error))
    if code is None:
        return OSError(f"{folder}: cannot be written ({error})")
    return OSError(int(code[1]), os.strerror(int(code[1])), str(folder))


def read_tree(folder: Path) -> Any:
    """Reads nested dicts of arrays with the shapes and dtypes they were saved with.

    Args:
        folder: written by `write_tree`, or ``STAGE/STEP/variables`` of a `Checkpoints`.

    Raises:
        DamagedError: damaged or incomplete.
    """
    return unflatten_dict(_read_arrays(folder))


def read_like(folder: Path, like: Any) -> Any:
    """Reads what `write_tree` wrote, in the structure of `like`.

    Raises:
        DamagedError: damaged or incomplete.
        UserError: of another structure.
    """
    found = _read_arrays(folder)
    try:
        # Copies: the next step reuses the state's memory, which must not be NumPy's.
        return jax.tree.map(jnp.array, ocp.tree.from_flat_dict(found, target=like))
    except (KeyError, ValueError) as error:
        raise UserError(f"checkpoint {folder} belongs to another network ({error})") from error


def _read_arrays(folder: Path) -> dict[tuple[str, ...], np.ndarray]:
    """Arrays that orbax wrote, by their paths.

    Not by orbax's own reading, which takes half as long again and is no shorter here. Also, where
    an array of a checkpoint from before the checksums is damaged, each array still on its way
    prints an error (see `_ArrayHandler`).

    Raises:
        DamagedError: damaged or incomplete.
    """
    try:
        metadata = json.loads((folder / "_METADATA").read_text())
        kind = "zarr3" if metadata["use_zarr3"] else "zarr"
        opening = {}
        for entry in metadata["tree_metadata"].values():
            path = tuple(key["key"] for key in entry["key_metadata"])
            if not entry["value_metadata"]["skip_deserialize"]:  # an empty branch
                spec = _storage(folder, kind, ".".join(path))
                opening[path] = tensorstore.open(spec, open=True, read=True)
        # All at once: each future starts when it is made.
        reading = {path: store.result().read() for path, store in opening.items()}
        return {path: array.result() for path, array in reading.items()}
    except Exception as error:  # tensorstore raises nearly anything on damaged files
        raise DamagedError(
            f"checkpoint {folder} is damaged or incomplete ({type(error).__name__}); copy it again"
            " or take another"
        ) from error


def _storage(folder: Path, kind: str, name: str) -> dict[str, Any]:
    """Where tensorstore finds an array, or puts it."""
    base = {"driver": "file", "path": f"{folder.absolute()}/"}
    return {
        "driver": kind,
        "kvstore": {"driver": "ocdbt", "base": base, "path": f"{name}/"},
        # An array that lacks a part is damaged, not zero there.
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": False,
    }
