"""What a command has done so far, item by item, so that it goes on there after it was killed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import open_file
from msl_jax.runtime.locking import locked


class Journal:
    """A file of JSON lines: the settings of the work, then each item that is done.

    Attributes:
        settings: of the work that the file is about, None if there is no such file.
        rows: what was noted of each item, by its name.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file if there is one; a last line that was cut off does not count.

        Raises:
            UserError: it is not such a file.
        """
        self.path = path
        self.settings: dict[str, Any] | None = None
        self.rows: dict[str, Any] = {}
        self._whole = b""
        try:
            with open_file(path) as file:
                content = file.read()
            self._whole = content[: content.rfind(b"\n") + 1]
            lines = [json.loads(line) for line in self._whole.splitlines()]
            if lines:
                self.settings, self.rows = dict(lines[0]), dict(lines[1:])
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise UserError(
                f"{path}: cannot be read ({error}); it says how far the work in this folder has"
                " come. Give another folder"
            ) from error

    def expect(self, settings: Mapping[str, Any]) -> None:
        """Checks that work which has begun is to go on in the same way.

        Args:
            settings: JSON values; each key is said if it differs.

        Raises:
            UserError: it is not.
        """
        before = self.settings
        if before is None:
            return
        now = json.loads(json.dumps(settings))
        for key in now:
            if before.get(key) != now[key]:
                raise UserError(
                    f"{self.path.parent} holds unfinished work of other settings: {key} was"
                    f" {json.dumps(before.get(key))} and is {json.dumps(now[key])}. Give another"
                    " folder, or remove that one to begin again"
                )

    @contextlib.contextmanager
    def kept(self, settings: Mapping[str, Any], begin: Callable[[], object]) -> Iterator[None]:
        """Keeps the file, and others from working in its folder.

        After an error it stays, so that the work can go on, unless nothing has been made yet.

        Args:
            settings: see `expect`.
            begin: called where no work has begun, while others are kept out; may raise.

        Raises:
            UserError: another process works there, or has done so since the file was read.
        """

        def refuse() -> None:
            raise UserError(f"{self.path.parent} is in use: another process holds {self.path.name}")

        with locked(self.path, refuse):
            try:
                self._expect_unchanged()
                if self.settings is None:
                    begin()
            except UserError:
                if not self.path.stat().st_size:  # made by the lock
                    self.discard()
                raise
            os.truncate(self.path, len(self._whole))  # without a line that was cut off
            try:
                if self.settings is None:
                    self._append(settings)
                yield
            except BaseException:
                others = (path for path in self.path.parent.rglob("*") if path != self.path)
                if not self.rows and not any(path.is_file() for path in others):
                    self.discard()
                raise

    def add(self, name: str, row: Any) -> None:
        """Notes an item that is done; `row` is a JSON value."""
        self.rows[name] = row
        self._append([name, row])

    def discard(self) -> None:
        """Removes the file: the work is finished."""
        self.path.unlink(missing_ok=True)

    def _expect_unchanged(self) -> None:
        if Journal(self.path)._whole != self._whole:
            raise UserError(
                f"{self.path.parent} has changed meanwhile: another process has worked there. Give"
                " the same command again"
            )

    def _append(self, value: Any) -> None:
        with self.path.open("ab") as file:
            file.write(json.dumps(value).encode() + b"\n")
