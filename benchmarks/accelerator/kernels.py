"""Where a step's time on the device goes, kernel by kernel, from JAX's profiler."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.profiler import ProfileData

_STEPS = 3
_KEPT = 15  # of the longest kernels of each kind, in the results

_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?(?P<name>[\w.-]+) = ")
_ATTRIBUTES = re.compile(r'(?:op_name|custom_call_target)="([^"]*)"')

# The first whose pattern occurs in a kernel's name, its operation's path or its library call.
_KINDS = (
    ("losses", r"while/|body|upsampl"),
    ("convolution", r"conv_general_dilated|[$_]conv|fprop|dgrad|wgrad"),
    ("batch norm, ReLU, pool", r"bn\d|_bn|relu|norm|reduce_window|select_and_scatter"),
    ("copies", r"memcpy|memset|\bcopy|transpose"),
)
_REST = "the rest (sums, optimizer, what has no path)"


class Kernel(NamedTuple):
    """All launches of one kernel for one operation of the program, in one step.

    Attributes:
        name: of the kernel.
        operation: name of the operation in the program.
        seconds: of all launches.
        launches: number of launches.
    """

    name: str
    operation: str
    seconds: float
    launches: float


def shares(run: Callable[[], object], program: str) -> dict[str, Any]:
    """Shares of the kernels' time in a step by kind, and the longest kernels.

    Args:
        run: makes one step and returns when it is finished.
        program: the compiled program's text, which says where its operations come from.

    Returns:
        ``{"seconds": of all kernels in a step, "launches": their number, "share": {kind: share},
        "longest": {kind: [[seconds, name, operation, path], ...]}}``.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(_STEPS):
                run()
        kernels = _kernels(Path(folder))
    paths = operation_paths(program)
    total = sum(kernel.seconds for kernel in kernels) or 1.0
    of_kind: defaultdict[str, list[Kernel]] = defaultdict(list)
    for kernel in sorted(kernels, key=lambda kernel: -kernel.seconds):
        of_kind[kind_of(kernel, paths)].append(kernel)
    return {
        "seconds": total,
        "launches": sum(kernel.launches for kernel in kernels),
        "share": {
            kind: sum(kernel.seconds for kernel in found) / total for kind, found in of_kind.items()
        },
        "longest": {
            kind: [
                [k.seconds, k.name, k.operation, paths.get(k.operation, "")] for k in found[:_KEPT]
            ]
            for kind, found in of_kind.items()
        },
    }


def kind_of(kernel: Kernel, paths: Mapping[str, str]) -> str:
    """Which part of the step a kernel belongs to.

    >>> kind_of(Kernel("sm90_xmma_fprop", "", 1.0, 1), {})
    'convolution'
    >>> kind_of(Kernel("fusion_3", "fusion.3", 1.0, 1), {"fusion.3": "jit(step)/layer1_0/bn1/mul"})
    'batch norm, ReLU, pool'
    """
    text = f"{paths.get(kernel.operation, '')} {kernel.name}"
    return next((kind for kind, pattern in _KINDS if re.search(pattern, text)), _REST)


def operation_paths(program: str) -> dict[str, str]:
    """Operation -> its path in the traced function, and the library call that computes it.

    >>> text = '  %mul.2 = f32[3]{0} multiply(%a, %b), metadata={op_name="jit(f)/mul"}'
    >>> operation_paths(text)
    {'mul.2': 'jit(f)/mul'}
    """
    return {
        match["name"]: " ".join(_ATTRIBUTES.findall(line))
        for line in program.splitlines()
        if (match := _INSTRUCTION.match(line))
    }


def _kernels(folder: Path) -> list[Kernel]:
    """Kernels of one step, added up by name and operation."""
    durations: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for file in folder.rglob("*.xplane.pb"):
        for name, operation, duration in _events(ProfileData.from_file(str(file))):
            durations[name, operation].append(duration)
    return [
        Kernel(*key, sum(found) / 1e9 / _STEPS, len(found) / _STEPS)
        for key, found in durations.items()
    ]


def _events(profile: ProfileData) -> Iterator[tuple[str, str, float]]:
    """(kernel, operation, nanoseconds) of what ran on the devices; without any, on the host."""
    planes = list(profile.planes)
    devices = [plane for plane in planes if plane.name.startswith("/device:")]
    for plane in devices or planes:
        for line in plane.lines:
            if devices and not line.name.startswith("Stream"):
                continue  # sums over the streams
            for event in line.events:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # of JAX's own types
                    operation = str(dict(event.stats).get("hlo_op", ""))
                if devices or operation:
                    yield event.name, operation, event.duration_ns
