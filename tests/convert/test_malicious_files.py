"""Code in a file is never run, wherever and however it is put there."""

from __future__ import annotations

import os
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msl_jax.runtime.errors import UserError
from msl_jax.weights import torch_files

torch = pytest.importorskip("torch", reason="PyTorch (extra: convert) is missing")


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists if the code was run."""
    return tmp_path / "marker"


PAYLOADS: dict[str, Callable[[Path], Call]] = {
    "posix.system": lambda marker: Call(os.system, f"touch {marker}"),
    "eval": lambda marker: Call(eval, f"__import__('pathlib').Path({str(marker)!r}).touch()"),
    "io.open": lambda marker: Call(open, str(marker), "w"),
    "getattr": lambda marker: Call(getattr, marker, "touch"),
}

PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda code: code,
    "among arrays": lambda code: {"a": torch.zeros(3), "b": code},
    "deep": lambda code: {"state_dict": {"a": torch.zeros(3)}, "x": [({"y": [code]},)]},
    "in an array": lambda code: {"a": torch.zeros(3), "b": np.array([code], dtype=object)},
}


def _write(path: Path, content: Any, container: str) -> None:
    if container.startswith("pickle"):
        path.write_bytes(pickle.dumps(content, protocol=int(container[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")


@pytest.mark.parametrize("payload", ["posix.system", "eval"])
def test_payload_works_where_it_is_not_refused(marker: Path, payload: str) -> None:
    """So that the tests below can fail."""
    pickle.loads(pickle.dumps(PAYLOADS[payload](marker)))
    assert marker.exists()


def _assert_refused(path: Path, marker: Path, named: str) -> None:
    with pytest.raises(UserError) as caught:
        torch_files.read(path)
    assert not marker.exists()
    message = str(caught.value)
    assert message.startswith(f"{path}: refused. It names {named}")
    assert "Nothing of it was run." in message
    assert "save the network's state_dict() alone" in message


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle2"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_payload(tmp_path: Path, marker: Path, payload: str, container: str) -> None:
    path = tmp_path / "weights.pth"
    _write(path, PAYLOADS[payload](marker), container)
    _assert_refused(path, marker, named=payload)


@pytest.mark.parametrize("container", ["zip", "legacy"])
@pytest.mark.parametrize("place", PLACES)
def test_place(tmp_path: Path, marker: Path, place: str, container: str) -> None:
    path = tmp_path / "weights.pth"
    _write(path, PLACES[place](PAYLOADS["posix.system"](marker)), container)
    _assert_refused(path, marker, "numpy." if place == "in an array" else "posix.system")


def test_beside_the_names(tmp_path: Path, marker: Path) -> None:
    """In the attribute in which our own files keep their description."""
    state = OrderedDict(a=torch.zeros(3))
    state._metadata = OrderedDict(msl_jax=PAYLOADS["posix.system"](marker))  # type: ignore
    _write(tmp_path / "weights.pth", state, "zip")
    _assert_refused(tmp_path / "weights.pth", marker, "posix.system")


@pytest.mark.parametrize("protocol", [0, 3, 4, 5])
def test_foreign_pickle(tmp_path: Path, marker: Path, protocol: int) -> None:
    path = tmp_path / "weights.pth"
    _write(path, {"a": PAYLOADS["posix.system"](marker)}, f"pickle{protocol}")
    with pytest.raises(UserError, match="Nothing of it was run"):
        torch_files.read(path)
    assert not marker.exists()


@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_whole_network(tmp_path: Path, container: str) -> None:
    """Not malicious, but its class would have to be run."""
    path = tmp_path / "weights.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # legacy: the class's source cannot be kept
        _write(path, torch.nn.Linear(2, 3), container)
    with pytest.raises(UserError, match=r"refused. It names torch.nn.modules.linear.Linear, "):
        torch_files.read(path)


def test_program(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.script(torch.nn.Linear(2, 3)).save(str(tmp_path / "weights.pth"))
    with pytest.raises(UserError, match=r"refused\. It is a program; reading such a file can run"):
        torch_files.read(tmp_path / "weights.pth")
