"""What is measured, most important first."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.accelerator.running import Case
from benchmarks.accelerator.sizes import LIGHT, SIZES, Network, Size, Sizes
from benchmarks.support.measuring import compilation_cache
from benchmarks.support.work import PARTS, PRECISIONS, Part, Precision, TrainingWork
from msl_jax.methods.variants import VARIANTS

Side = Literal["ours", "torch", "torch.compile"]

_HERE = "benchmarks.accelerator"
_MIXED: tuple[Precision, ...] = ("tf32", "bfloat16")
METHODS = tuple(name for name, variant in VARIANTS.items() if variant.adapt)


class StepCase(NamedTuple):
    """A training step on one side; with `small` both images have the small size."""

    network: Network
    part: Part
    precision: Precision
    side: Side = "ours"
    small: bool = False
    rematerialize: bool = False

    @property
    def name(self) -> str:
        """Name of the case in the results."""
        words = ["step", self.network.name, self.part, "small" if self.small else "full"]
        return "/".join([*words, self.precision, *["remat"] * self.rematerialize, self.side])

    @property
    def kernels(self) -> str:
        """Name of the case that profiles the kernels of this step, if it is ours."""
        return f"kernels{self.name.removeprefix('step').removesuffix('/ours')}"

    def work(self, sizes: Sizes) -> TrainingWork:
        """What is timed."""
        both = sizes.small if self.small else None
        return TrainingWork(
            self.part,
            both or sizes.source,
            both or sizes.target,
            self.network.depth,
            self.network.width,
            precision=self.precision,
            rematerialize=self.rematerialize,
        )


class EvaluationCase(NamedTuple):
    """Evaluation of an image on one side."""

    size: Size
    precision: Precision
    side: Side

    @property
    def name(self) -> str:
        """Name of the case in the results."""
        return f"evaluation/{self.size[1]}x{self.size[0]}/{self.precision}/{self.side}"

    def arguments(self, sizes: Sizes) -> dict[str, Any]:
        """Arguments of `our_steps.evaluation`."""
        network = {"depth": sizes.network.depth, "width": sizes.network.width}
        return {"size": list(self.size), **network, "precision": self.precision}


def main_steps(sizes: Sizes) -> list[StepCase]:
    """The adaptation steps at full size, which are compared first."""
    return [StepCase(sizes.network, "adapt", precision) for precision in _MIXED]


def step_cases(sizes: Sizes) -> list[StepCase]:
    """All of our steps: those that matter most, then the rest of the grid."""
    main = sizes.network
    first = [
        *main_steps(sizes),
        StepCase(main, "adapt", "tf32", small=True),
        StepCase(main, "source", "tf32"),
        StepCase(main, "adapt", "bfloat16", rematerialize=True),
        StepCase(LIGHT, "adapt", "tf32"),
        StepCase(main, "adapt", "float32"),
    ]
    grid = [
        StepCase(network, part, precision, small=small, rematerialize=rematerialize)
        for rematerialize in (False, True)
        for network in (main, LIGHT)
        for part in PARTS
        for small in (False, True)
        for precision in PRECISIONS
    ]
    return [*first, *(case for case in grid if case not in first)]


def evaluation_cases(sizes: Sizes, side: Side) -> list[EvaluationCase]:
    """All evaluations of one side."""
    return [
        EvaluationCase(size, precision, side) for size in sizes.evaluation for precision in _MIXED
    ]


def all_cases(
    name: str, *, cache: Path, goldens: Path, camvid: Path, seconds: float | None = None
) -> list[Case]:
    """All cases, most important first.

    Args:
        name: one of `SIZES`.
        cache: folder of the compilation cache, initially empty.
        goldens: folder of the golden values.
        camvid: folder of CamVid.
        seconds: for the rounds of a case, instead of those of the sizes.
    """
    sizes = SIZES[name]
    sizes = dataclasses.replace(sizes, seconds=sizes.seconds if seconds is None else seconds)
    return list(_cases(sizes, cache, goldens, camvid))


def _cases(sizes: Sizes, cache: Path, goldens: Path, camvid: Path) -> Iterator[Case]:
    environment = {
        # No memory is taken before it is needed, and one device is measured.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0],
        **compilation_cache(cache),
    }

    def case(name: str, process: str, function: str, least: float, **arguments: Any) -> Case:
        place = f"{_HERE}.{function}"
        return Case(name, process, place, arguments, least * sizes.scale, environment)

    def our_step(wanted: StepCase, compile_again: bool = False) -> Case:
        fields: dict[str, Any] = {"seconds": sizes.seconds, **wanted.work(sizes).as_json()}
        least = 20.0 if wanted.network == LIGHT else 60.0
        again = {"compile_again": compile_again}
        return case(wanted.name, "jax", "steps:step", least, **again, **fields)

    def torch_step(wanted: StepCase) -> Case:
        fields: dict[str, Any] = {"seconds": sizes.seconds, **wanted.work(sizes).as_json()}
        compiled = wanted.side == "torch.compile"
        least = 90.0 if compiled else 40.0
        return case(wanted.name, "torch", "torch_side:step", least, compiled=compiled, **fields)

    def evaluation(wanted: EvaluationCase) -> Case:
        fields = {"seconds": sizes.seconds / 2, **wanted.arguments(sizes)}
        if wanted.side == "torch":
            return case(wanted.name, "torch", "torch_side:evaluation", 10.0, **fields)
        return case(wanted.name, "jax", "steps:evaluation", 30.0, **fields)

    def errors(part: str, precision: Precision, least: float) -> Case:
        arguments = {"goldens": str(goldens), "part": part, "precision": precision}
        return case(f"exactness/{part}/{precision}", "jax", "exactness:errors", least, **arguments)

    def training(name: str, *arguments: str) -> Case:
        command = [f"--config=configs/{name}.py", *arguments]
        return case(f"training/{name}", "real", "real:training", 90.0, arguments=command)

    layer: dict[str, Any] = {"seconds": sizes.seconds / 10, "size": list(sizes.source)}
    layer["names"] = list(sizes.losses)
    ours = step_cases(sizes)
    main = main_steps(sizes)
    in_torch = [wanted._replace(side="torch") for wanted in ours if not wanted.rematerialize]

    yield case("device", "jax", "device:versions", 5.0)
    yield case(
        "ceilings",
        "jax",
        "device:ceilings",
        10.0,
        size=sizes.matrix,
        megabytes=sizes.copied_mb,
        seconds=sizes.seconds / 4,
    )
    for precision in ("float32", "tf32"):
        yield errors("losses", precision, 5.0)
    for wanted in main:
        yield our_step(wanted, compile_again=True)
    for tile in sizes.tiles:
        yield case(f"losses/tile {tile}", "jax", "loss_layer:tiled", 8.0, **layer, tile=tile)
    yield case("losses/whole", "jax", "loss_layer:whole", 8.0, **layer)
    yield case("losses/torch", "torch", "torch_side:losses", 5.0, **layer)
    yield from map(torch_step, in_torch[:2])
    yield training("demo")
    yield errors("network", "float32", 60.0)
    yield from map(evaluation, evaluation_cases(sizes, "ours"))
    yield from map(evaluation, evaluation_cases(sizes, "torch"))
    yield from map(our_step, ours[2:7])
    yield from map(torch_step, in_torch[2:6])
    for wanted in main:
        yield case(wanted.kernels, "jax", "steps:profile", 60.0, **wanted.work(sizes).as_json())
    for variant in METHODS:
        # Some mix the images of both domains, which have one size then.
        work = StepCase(LIGHT, "adapt", "tf32", small=True).work(sizes)
        fields = work.as_json() | {"variant": variant}
        fields["seconds"] = sizes.seconds
        yield case(f"methods/{variant}", "jax", "steps:step", 20.0, **fields)
    yield case(
        "input",
        "real",
        "real:input_share",
        60.0,
        camvid=str(camvid),
        frames=sizes.frames,
        original_size=list(sizes.original),
        steps=sizes.steps,
        **main[-1].work(sizes).as_json(),
    )
    # The one whose weights need no further package.
    yield training("camvid_scratch", f"--config.data_root={camvid}", *sizes.training)
    if sizes.torch_compile:
        yield from (torch_step(wanted._replace(side="torch.compile")) for wanted in main)
    yield errors("network", "tf32", 60.0)
    for precision in ("float32", "tf32"):
        yield errors("multi_iw_once", precision, 60.0)  # type: ignore[arg-type]
    yield from map(our_step, ours[7:])
    yield from map(torch_step, in_torch[6:])
