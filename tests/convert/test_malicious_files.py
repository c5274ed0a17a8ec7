"""Nothing in a file is ever run or imported, wherever and however it is put there.

PyTorch is taken away here: the files are refused without it.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .refusals import refusal
from .torch_pickles import (
    WRITERS,
    call,
    dictionary,
    name,
    storage,
    tensor,
    tupled,
    value,
    write_zip,
)

each_format = pytest.mark.parametrize("container", WRITERS)


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists if the code was run."""
    return tmp_path / "marker"


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


PAYLOADS: dict[str, Callable[[Path], Call]] = {
    "posix.system": lambda marker: Call(os.system, f"touch {marker}"),
    "builtins.eval": lambda marker: Call(eval, f"__import__('os').system('touch {marker}')"),
    "builtins.exec": lambda marker: Call(exec, f"__import__('os').system('touch {marker}')"),
    "io.open": lambda marker: Call(open, str(marker), "w"),
    "builtins.getattr": lambda marker: Call(getattr, marker, "touch"),
    "builtins.__import__": lambda marker: Call(__import__, "antigravity"),
}

PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda code: code,
    "among arrays": lambda code: {"a": np.zeros(3), "b": code},
    "deep": lambda code: {"state_dict": {"a": np.zeros(3)}, "x": [({"y": [code]},)]},
    "as a key": lambda code: {code: np.zeros(3)},
    "in a set": lambda code: {code},
}


def _assert_named(path: Path, marker: Path, named: str) -> None:
    message = refusal(path)
    assert not marker.exists()
    assert message.startswith(f"{path}: refused. It names {named}, which is not a safe type")
    assert "Nothing of it was run." in message
    assert "save the network's state_dict() alone" in message


@pytest.mark.parametrize("payload", ["posix.system", "builtins.eval", "builtins.exec", "io.open"])
def test_payload_works_where_it_is_not_refused(marker: Path, payload: str) -> None:
    """So that the tests below can fail."""
    made = pickle.loads(pickle.dumps(PAYLOADS[payload](marker)))
    if payload == "io.open":
        made.close()
    assert marker.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("container", [*WRITERS, "pickle"])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_payload(path: Path, marker: Path, payload: str, container: str, protocol: int) -> None:
    content = pickle.dumps(PAYLOADS[payload](marker), protocol)
    if container == "pickle":
        path.write_bytes(content)
    else:
        WRITERS[container](path, content[2:-1])
    _assert_named(path, marker, payload)


@each_format
@pytest.mark.parametrize("place", PLACES)
def test_place(path: Path, marker: Path, place: str, container: str) -> None:
    content = PLACES[place](PAYLOADS["posix.system"](marker))
    WRITERS[container](path, pickle.dumps(content, 2)[2:-1])
    _assert_named(path, marker, "posix.system")


@pytest.mark.parametrize("protocol", [0, 1])
def test_protocol_of_text(path: Path, marker: Path, protocol: int) -> None:
    path.write_bytes(pickle.dumps(PAYLOADS["posix.system"](marker), protocol))
    assert "not a readable PyTorch file (it begins with b'cposix" in refusal(path)
    assert not marker.exists()


def test_beside_the_names(path: Path, marker: Path) -> None:
    """In the attribute in which our own files keep their description."""
    state = OrderedDict(a=np.zeros(3))
    state._metadata = OrderedDict(msl_jax=PAYLOADS["posix.system"](marker))  # type: ignore
    write_zip(path, pickle.dumps(state, 2)[2:-1])
    _assert_named(path, marker, "posix.system")


# As the message shows them: how they stand in a file.
NAMES = {
    "os.system": name("os", "system"),
    "subprocess.Popen": name("subprocess", "Popen"),
    "torch.load": name("torch", "load"),
    "torch.hub.load": name("torch.hub", "load"),
    "torch.storage._load_from_bytes": name("torch.storage", "_load_from_bytes"),
    "torch._utils._rebuild_wrapper_subclass": name("torch._utils", "_rebuild_wrapper_subclass"),
    "torch.nn.modules.linear.Linear": name("torch.nn.modules.linear", "Linear"),
    "torch.serialization.add_safe_globals": name("torch.serialization", "add_safe_globals"),
    "numpy.load": name("numpy", "load"),
    "numpy.memmap": name("numpy", "memmap"),
    "numpy._core.multiarray.fromfile": name("numpy._core.multiarray", "fromfile"),
    "functools.partial": name("functools", "partial"),
    "operator.attrgetter": name("operator", "attrgetter"),
    "collections.defaultdict": name("collections", "defaultdict"),
    "argparse.Namespace": name("argparse", "Namespace"),
    "copyreg._reconstructor": name("copy_reg", "_reconstructor"),
    "copyreg.add_extension": name("copyreg", "add_extension"),
    "builtins.eval": name("__builtin__", "eval"),
    "__main__.Network": name("__main__", "Network"),
    # Odd ways to write a name: none of them is split, looked up or matched in part.
    "collections.OrderedDict.update": name("collections", "OrderedDict.update"),
    "collections.OrderedDict.__init__.__globals__": name(
        "collections", "OrderedDict.__init__.__globals__"
    ),
    "torch._utils.__builtins__.eval": name("torch._utils", "__builtins__.eval"),
    "torch._utils.os.system": name("torch._utils", "os.system"),
    ".collections.OrderedDict": name(".collections", "OrderedDict"),
    "collections .OrderedDict": name("collections ", "OrderedDict"),
    "collections.OrderedDict'": name("collections", "OrderedDict'"),
    "builtins.builtins.set": name("builtins", "builtins.set"),
    "torch.float33": name("torch", "float33"),
    ".": name("", ""),
    "'\\x1b[2Jos.system'": name("\x1b[2Jos", "system"),
    "'os\\u202e.system'": name("os\u202e", "system"),
}


@each_format
@pytest.mark.parametrize("named", NAMES)
def test_name(path: Path, marker: Path, named: str, container: str) -> None:
    WRITERS[container](path, call(NAMES[named], value(str(marker)), value("x")))
    _assert_named(path, marker, named)


@pytest.mark.parametrize("named", NAMES)
def test_name_on_the_stack(path: Path, marker: Path, named: str) -> None:
    """As protocol 4 writes names."""
    module, attribute, _ = NAMES[named][1:].decode().split("\n")
    stacked = value(module) + value(attribute) + b"\x93"
    write_zip(path, call(stacked, value(str(marker)), value("x")))
    _assert_named(path, marker, named)


def test_very_long_name_is_cut(path: Path) -> None:
    write_zip(path, name("a" * 10**6, "b"))
    assert "It names aaaa" in refusal(path)


@each_format
@pytest.mark.parametrize("part", [value(1), value(None), b"C\x02os", value(("os",)), b"]"])
def test_name_that_is_no_text(path: Path, part: bytes, container: str) -> None:
    WRITERS[container](path, value("os") + part + b"\x93")
    assert "a name that is no text" in refusal(path)


DICT = name("collections", "OrderedDict")
SYSTEM = value("touch marker")
INSTRUCTIONS = {
    # Instances, by all instructions that make one.
    "INST": (b"(" + SYSTEM + b"ios\nsystem\n", "refused. It names os.system"),
    "INST of a known name": (b"(icollections\nOrderedDict\n", "the instruction INST"),
    "OBJ": (b"(" + name("os", "system") + SYSTEM + b"o", "refused. It names os.system"),
    "OBJ of a known name": (b"(" + DICT + b"o", "the instruction OBJ"),
    "NEWOBJ": (name("os", "system") + b")\x81", "refused. It names os.system"),
    "NEWOBJ of a known name": (DICT + b")\x81", "the instruction NEWOBJ"),
    "NEWOBJ_EX": (DICT + b")}\x92", "the instruction NEWOBJ_EX"),
    "EXT1": (b"\x82\x01", "the instruction EXT1"),
    "EXT2": (b"\x83\x01\x00", "the instruction EXT2"),
    "EXT4": (b"\x84\x01\x00\x00\x00", "the instruction EXT4"),
    # Calls, states and items of what takes none.
    "call of a class": (name("numpy", "ndarray") + b")R", "no function (type)"),
    "call of a tensor's class": (name("torch", "Tensor") + b")R", "no function (object)"),
    "call of a storage's type": (name("torch", "FloatStorage") + b")R", "no function (_Stor"),
    "call of text": (value("os.system") + tupled(SYSTEM) + b"R", "no function (str)"),
    "call of a tensor": (tensor(storage()) + b")R", "no function (Tensor)"),
    "call without a tuple": (DICT + b"]R", "a call with a list in place of a tuple"),
    "call with too much": (call(DICT, b"]", b"]"), "a call with wrong arguments"),
    "call with another type": (call(DICT, b"}"), "an OrderedDict that is not made of pairs"),
    "state of a function": (DICT + b"}b", "a state for a Function"),
    "state of a class": (name("numpy", "ndarray") + b"}b", "a state for a type"),
    "state of a dict": (b"}" + value({"__class__": 1}) + b"b", "a state for a dict"),
    "state of a list": (b"]" + value({"append": 1}) + b"b", "a state for a list"),
    "state of a tensor": (tensor(storage()) + value((1, 2)) + b"b", "a state for a Tensor"),
    "state with slots": (DICT + b")R" + value(({}, {"update": 1})) + b"b", "a state for a Ordered"),
    "items of a function": (DICT + value("a") + value("b") + b"s", "items for a Function"),
    "items of a tensor": (tensor(storage()) + value("a") + value(1) + b"s", "items for a Tensor"),
    "elements of a tuple": (b")" + value("a") + b"a", "items for a tuple"),
    "elements of a dict": (b"}" + value("a") + b"a", "items for a dict"),
    "a key without a value": (b"}(" + value("a") + b"u", "a key without a value"),
    "a list as a key": (b"}]Ns", "a key of the type list"),
    # Persistent ids of other kinds.
    "PERSID": (b"P0\n", "the instruction PERSID"),
    "id of a module": (
        tupled(value("module"), DICT, value("f.py"), value("import os")) + b"Q",
        "of the kind 'module'",
    ),
    "id that is a number": (value(7) + b"Q", "of the kind ''"),
    "id that is text": (value("storage") + b"Q", "of the kind 'storage'"),
    "id that is empty": (b")Q", "of the kind ''"),
    "id with a class": (
        tupled(value("storage"), DICT, value("0"), value("cpu"), value(6)) + b"Q",
        "a storage without a type or key",
    ),
    "id with a number as its key": (storage(key=0), "a storage without a type or key"),
    # The memo and the stack.
    "memo that was not written": (b"h\x05", "refers to what it has not made"),
    "memo far away": (b"Nr\xff\xff\xff\x7fj\xfe\xff\xff\x7f", "refers to what it has not made"),
    "memo before anything": (b"q\x00", "an empty stack"),
    "mark that is not there": (b"Nt", "back to a mark"),
    "below a mark": (b"N(\x85", "an empty stack"),
    "something left": (b"NN", "leaves something behind"),
    "a mark left": (b"(N", "leaves something behind"),
    "DUP": (b"N2", "the instruction DUP"),
    "POP": (b"NN0", "the instruction POP"),
    "unknown instruction": (b"\xff", r"byte b'\xff' in a pickle"),
    "NEXT_BUFFER": (b"\x97", "the instruction NEXT_BUFFER"),
}


@each_format
@pytest.mark.parametrize("kind", INSTRUCTIONS)
def test_instruction(path: Path, kind: str, container: str) -> None:
    body, words = INSTRUCTIONS[kind]
    WRITERS[container](path, body)
    message = refusal(path)
    assert words in message
    assert "Nothing of it was run" in message


def test_key_that_is_a_path(path: Path) -> None:
    write_zip(path, dictionary({"a": tensor(storage(key="../../../../etc/passwd"))}))
    assert "data/../../../../etc/passwd is missing" in refusal(path)


REBUILT = name("torch._tensor", "_rebuild_from_type_v2")
CLASS = name("torch", "Tensor")
FUNCTION = name("torch._utils", "_rebuild_tensor_v2")


@pytest.mark.parametrize("function", [REBUILT, DICT, CLASS, value("os.system")])
def test_only_tensors_are_rebuilt_with_attributes(path: Path, function: bytes) -> None:
    write_zip(path, call(REBUILT, function, CLASS, b")", b"}"))
    assert "a tensor of another class than torch.Tensor" in refusal(path)


@pytest.mark.parametrize("kind", [DICT, value("torch.Tensor"), value(None)])
def test_class_of_a_tensor_with_attributes(path: Path, kind: bytes) -> None:
    write_zip(path, call(REBUILT, FUNCTION, kind, b")", b"}"))
    assert "a tensor of another class than torch.Tensor" in refusal(path)


NUMPY = {
    "objects": (np.array([{}], dtype=object), "refused. It names numpy.dtype('O8')"),
    "records": (np.zeros(2, [("a", "f4")]), "refused. It names numpy.dtype('V4')"),
    "a record of objects": (np.zeros(2, [("a", "O")])[0], "refused. It names numpy.dtype('V8')"),
    "text": (np.array(["a"]), "refused. It names numpy.dtype('U1')"),
    "dates": (np.zeros(2, "M8[s]"), "refused. It names numpy.dtype('M8')"),
    "big-endian": (np.zeros(2, ">f4"), "no plain number of a little-endian machine"),
}


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("kind", NUMPY)
def test_numpy(path: Path, kind: str, protocol: int) -> None:
    array, words = NUMPY[kind]
    write_zip(path, pickle.dumps({"a": array}, protocol)[2:-1])
    assert re.search(re.escape(words), refusal(path))
