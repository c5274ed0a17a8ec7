"""Reads pickles of plain data without running any of them.

A pickle is a program for a stack machine, and Python's own machine imports and calls whatever the
program names. This one knows only the instructions that build numbers, text and containers. A name
is looked up in a table of what is allowed, and nothing is imported. Time and memory are bounded,
whatever the pickle claims: no instruction takes more of them than it has bytes in the pickle.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from msl_jax.weights.pickle_vocabulary import (
    Function,
    Malformed,
    Refused,
    Vocabulary,
    expect_key,
    printable,
)

# Far above any checkpoint: a ResNet-101 with its optimizer takes 0.1 million instructions.
MOST_INSTRUCTIONS = 2_000_000
MOST_BYTES = 2**26  # of a pickle
# Calls may copy what they are given, again and again the same; together no more than this.
_MOST_COPIED = 2 * MOST_BYTES
_BYTES_OF_AN_ITEM = 256
_LONGEST_INTEGER = 1024  # bits

# Python 2's names of modules, which protocol 2 keeps.
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
# For messages.
_CODES = {
    code: name
    for name, code in vars(pickle).items()
    if name.isupper() and isinstance(code, bytes) and len(code) == 1
}


def load(data: bytes, vocabulary: Vocabulary, start: int = 0) -> tuple[Any, int]:
    """Reads one pickle.

    Args:
        data: in which the pickle stands, at most `MOST_BYTES` of which are read.
        vocabulary: what it may name.
        start: where in the data it begins.

    Returns:
        The object and where in the data the pickle ends.

    Raises:
        Refused: it names something that is not in the vocabulary.
        Malformed: it is damaged, too large, or uses an instruction that plain data do not need.

    >>> nothing = Vocabulary({}, build=lambda made, state: None, persistent=lambda key: None)
    >>> load(pickle.dumps({"a": (1, None)}), nothing)[0]
    {'a': (1, None)}
    >>> load(pickle.dumps(print), nothing)
    Traceback (most recent call last):
    msl_jax.weights.pickle_vocabulary.Refused: It names builtins.print, which is not a safe type
    """
    machine = _Machine(data, vocabulary, start)
    return machine.run(), machine.position


class _Machine:
    """The stack machine: `stack` above the last mark, the stacks below each mark, and the memo."""

    def __init__(self, data: bytes, vocabulary: Vocabulary, start: int) -> None:
        self.data = data
        self.vocabulary = vocabulary
        self.position = start
        self.end = min(len(data), start + MOST_BYTES)
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}  # not a list: its indices may be anything
        self.copied = 0

    def run(self) -> Any:
        for _ in range(MOST_INSTRUCTIONS):
            code = self.take(1)
            if code == pickle.STOP:
                result = self.pop()
                if self.stack or self.below:
                    raise Malformed("a pickle that leaves something behind")
                return result
            step = _STEPS.get(code)
            if step is None:
                name = _CODES.get(code)
                raise Malformed(f"the instruction {name}" if name else f"byte {code!r} in a pickle")
            step(self)
        raise Malformed(f"a pickle of more than {MOST_INSTRUCTIONS:,} instructions")

    def take(self, count: int) -> bytes:
        start = self.position
        if not 0 <= count <= self.end - start:
            raise Malformed("a pickle that does not end, or is longer than 64 MiB")
        self.position = start + count
        return self.data[start : self.position]

    def line(self) -> str:
        end = self.data.find(b"\n", self.position, self.end)
        if end < 0:
            raise Malformed("a name that does not end")
        line = self.take(end + 1 - self.position)[:-1]
        return line.decode()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise Malformed("a pickle that takes from an empty stack")
        return self.stack.pop()

    def top(self, *types: type) -> Any:
        """The object on top of the stack, of one of these types."""
        value = self.pop()
        if types and type(value) not in types:
            raise Malformed(f"items for a {type(value).__name__}")
        self.push(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        if not self.below:
            raise Malformed("a pickle that takes back to a mark that it has not set")
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def extend_list(self, items: list[Any]) -> None:
        self.top(list).extend(items)

    def pop_elements(self) -> list[Any]:
        items = self.pop_to_mark()
        for item in items:
            expect_key(item)
        return items

    def extend_set(self) -> None:
        items = self.pop_elements()
        self.top(set).update(items)

    def extend_dict(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise Malformed("a key without a value")
        target = self.top(dict, OrderedDict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            expect_key(key)
            target[key] = value

    def pack(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def integer(self, data: bytes) -> None:
        if 8 * len(data) > _LONGEST_INTEGER:
            raise Malformed(f"an integer of more than {_LONGEST_INTEGER} bits")
        self.push(int.from_bytes(data, "little", signed=True))

    def remember(self, index: int) -> None:
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise Malformed("a pickle that refers to what it has not made")
        self.push(self.memo[index])

    def name(self, module: Any, attribute: Any) -> None:
        """Pushes what the vocabulary has for a name; never looks it up anywhere else."""
        if type(module) is not str or type(attribute) is not str:
            raise Malformed("a name that is no text")
        name = f"{_RENAMED.get(module, module)}.{attribute}"
        if name not in self.vocabulary.names:
            raise Refused(f"It names {printable(name)}, which is not a safe type")
        self.push(self.vocabulary.names[name])

    def instance(self) -> None:
        self.name(self.line(), self.line())  # so that the message tells whose
        raise Malformed("the instruction INST")

    def name_on_stack(self) -> None:
        attribute = self.pop()
        self.name(self.pop(), attribute)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if type(function) is not Function:
            raise Malformed(f"a call of what is no function ({type(function).__name__})")
        if type(arguments) is not tuple:
            raise Malformed(f"a call with a {type(arguments).__name__} in place of a tuple")
        self.charge(arguments)
        try:
            self.push(function.call(*arguments))
        except TypeError as error:
            raise Malformed(f"a call with wrong arguments ({error})") from error

    def build(self) -> None:
        state = self.pop()
        self.charge(state if type(state) is tuple else (state,))
        self.vocabulary.build(self.top(), state)

    def charge(self, arguments: tuple[Any, ...]) -> None:
        for argument in arguments:
            if isinstance(argument, (str, bytes, bytearray)):
                self.copied += len(argument)
            elif isinstance(argument, (tuple, list, dict)):
                self.copied += _BYTES_OF_AN_ITEM * len(argument)
        if self.copied > _MOST_COPIED:
            raise Malformed("a pickle that unfolds into far more than it holds")


Step = Callable[[_Machine], None]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _text_of_python_2(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _constant(make: Callable[[], Any]) -> Step:
    return lambda machine: machine.push(make())


def _packed(layout: str, use: Callable[[_Machine, Any], None] = _Machine.push) -> Step:
    """Uses a number that follows the instruction."""
    size = struct.calcsize(layout)
    return lambda machine: use(machine, struct.unpack(layout, machine.take(size))[0])


def _counted(layout: str, decode: Callable[[bytes], Any]) -> Step:
    """Pushes what follows the instruction behind a count of its bytes."""
    return _packed(layout, lambda machine, count: machine.push(decode(machine.take(count))))


_STEPS: dict[bytes, Step] = {
    pickle.PROTO: _packed("<B", lambda machine, protocol: None),
    pickle.FRAME: _packed("<Q", lambda machine, size: None),
    pickle.MARK: _Machine.mark,
    # Numbers and text.
    pickle.NONE: _constant(lambda: None),
    pickle.NEWTRUE: _constant(lambda: True),
    pickle.NEWFALSE: _constant(lambda: False),
    pickle.BININT: _packed("<i"),
    pickle.BININT1: _packed("<B"),
    pickle.BININT2: _packed("<H"),
    pickle.LONG1: _packed("<B", lambda machine, count: machine.integer(machine.take(count))),
    pickle.LONG4: _packed("<i", lambda machine, count: machine.integer(machine.take(count))),
    pickle.BINFLOAT: _packed(">d"),
    pickle.SHORT_BINUNICODE: _counted("<B", _text),
    pickle.BINUNICODE: _counted("<I", _text),
    pickle.BINUNICODE8: _counted("<Q", _text),
    pickle.SHORT_BINSTRING: _counted("<B", _text_of_python_2),
    pickle.BINSTRING: _counted("<i", _text_of_python_2),
    pickle.SHORT_BINBYTES: _counted("<B", bytes),
    pickle.BINBYTES: _counted("<I", bytes),
    pickle.BINBYTES8: _counted("<Q", bytes),
    pickle.BYTEARRAY8: _counted("<Q", bytearray),
    # Containers.
    pickle.EMPTY_TUPLE: _constant(tuple),
    pickle.TUPLE1: lambda machine: machine.pack(1),
    pickle.TUPLE2: lambda machine: machine.pack(2),
    pickle.TUPLE3: lambda machine: machine.pack(3),
    pickle.TUPLE: lambda machine: machine.push(tuple(machine.pop_to_mark())),
    pickle.EMPTY_LIST: _constant(list),
    pickle.APPEND: lambda machine: machine.extend_list([machine.pop()]),
    pickle.APPENDS: lambda machine: machine.extend_list(machine.pop_to_mark()),
    pickle.EMPTY_DICT: _constant(dict),
    pickle.SETITEM: lambda machine: machine.extend_dict([machine.pop(), machine.pop()][::-1]),
    pickle.SETITEMS: lambda machine: machine.extend_dict(machine.pop_to_mark()),
    pickle.EMPTY_SET: _constant(set),
    pickle.ADDITEMS: _Machine.extend_set,
    pickle.FROZENSET: lambda machine: machine.push(frozenset(machine.pop_elements())),
    # The memo.
    pickle.BINPUT: _packed("<B", _Machine.remember),
    pickle.LONG_BINPUT: _packed("<I", _Machine.remember),
    pickle.MEMOIZE: lambda machine: machine.remember(len(machine.memo)),
    pickle.BINGET: _packed("<B", _Machine.recall),
    pickle.LONG_BINGET: _packed("<I", _Machine.recall),
    # What the vocabulary answers for.
    pickle.GLOBAL: lambda machine: machine.name(machine.line(), machine.line()),
    pickle.INST: _Machine.instance,
    pickle.STACK_GLOBAL: _Machine.name_on_stack,
    pickle.REDUCE: _Machine.call,
    pickle.BUILD: _Machine.build,
    pickle.BINPERSID: lambda machine: machine.push(machine.vocabulary.persistent(machine.pop())),
}
