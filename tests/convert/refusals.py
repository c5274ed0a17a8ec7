"""What happens while a file is refused: nothing is imported, run or written."""

from __future__ import annotations

import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

from msl_jax.runtime.errors import UserError
from msl_jax.weights import torch_files

# What Python reports (`sys.addaudithook`) of a reading that does nothing else: the file is opened.
_HARMLESS = ("open", "builtins.id")
_events: list[str] = []
_watching = False


def _audit(event: str, arguments: Any) -> None:
    if _watching and event not in _HARMLESS:
        _events.append(f"{event} {arguments}"[:100])


sys.addaudithook(_audit)  # it cannot be taken away again
b"a".decode("cp437")  # the codec of names in zip archives, which Python imports when first used


def refusal(path: Path) -> str:
    """The message, of which it is also checked that a terminal can show it."""
    global _watching
    _events.clear()
    message = ""
    _watching = True
    try:
        torch_files.read(path)
    except UserError as error:
        message = str(error)
    finally:
        _watching = False
    assert _events == []
    assert message.startswith(f"{path}: "), "not refused"
    assert message.isprintable()
    assert len(message) < 1000
    return message


def cheap_refusal(path: Path, most: int = 60 * 2**20, seconds: float = 30) -> str:
    """The message, which must be found in little memory (bytes) and time."""
    tracemalloc.start()
    start = time.process_time()
    try:
        message = refusal(path)
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < seconds
    return message
