"""What is measured, the most important first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.accelerator.running import Case
from benchmarks.losses import LOSSES
from benchmarks.work import PARTS, PRECISIONS, Part, Precision, TrainingWork
from msl_jax.variants import VARIANTS

Side = Literal["ours", "torch", "torch.compile"]
Size = tuple[int, int]

_HERE = "benchmarks.accelerator"
# Nothing is taken from the device before it is needed: two libraries share it, one after the other.
_MODEST = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
METHODS = tuple(name for name, variant in VARIANTS.items() if variant.adapt)


class Network(NamedTuple):
    """A DeepLabv2.

    Attributes:
        name: in tables.
        depth: its layers.
        width: channels of its stem.
    """

    name: str
    depth: int
    width: int


LIGHT = Network("light (14 layers, width 24)", 14, 24)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        network: the one that most is measured with.
        source: (height, width) of the source images; of the losses' images too.
        target: of the target images.
        small: of both images, in the small step.
        evaluation: of the images that are evaluated.
        tiles: numbers in a tile of the losses.
        matrix: rows of the matrices of the device's limits.
        copied_mb: MB of the copy.
        frames: that the input pipeline is fed with.
        original: (height, width) of their files.
        steps: of the training on them.
        seconds: for the rounds of a case.
        scale: of the time that cases are expected to take.
        training: what train.py is given for a real run on CamVid, beside the folder.
    """

    network: Network
    source: Size
    target: Size
    small: Size
    evaluation: tuple[Size, ...]
    tiles: tuple[int, ...]
    matrix: int
    copied_mb: int
    frames: int
    original: Size
    steps: int
    seconds: float
    scale: float
    training: tuple[str, ...]


SIZES = {
    "paper": Sizes(
        network=Network("ResNet-101", 101, 64),
        source=(720, 1280),
        target=(512, 1024),
        small=(256, 512),
        evaluation=((512, 1024), (1024, 2048)),
        tiles=(250_000, 1_000_000, 2_000_000, 4_000_000, 9_000_000, 18_000_000),
        matrix=8192,
        copied_mb=2000,
        frames=48,
        original=(1052, 1914),
        steps=100,
        seconds=2.0,
        scale=1.0,
        training=("--config.source_steps=1000", "--config.steps=200", "--config.eval_every=500"),
    ),
    "small": Sizes(
        network=Network("tiny (14 layers, width 4)", 14, 4),
        source=(45, 80),
        target=(32, 64),
        small=(16, 32),
        evaluation=((32, 64),),
        tiles=(10_000, 100_000),
        matrix=256,
        copied_mb=10,
        frames=2,
        original=(66, 120),
        steps=4,
        seconds=0.1,
        scale=0.1,
        training=("--config.source_steps=4", "--config.steps=4", "--config.model.width=4"),
    ),
}


class StepCase(NamedTuple):
    """A training step that is measured on one side.

    Attributes:
        network: which.
        part: of the training.
        precision: see `work.PRECISIONS`.
        small: both images of the small size.
        rematerialize: see `TrainingWork`.
        side: whose.
    """

    network: Network
    part: Part
    precision: Precision
    small: bool
    rematerialize: bool
    side: Side

    @property
    def name(self) -> str:
        """Of the case."""
        words = ["step", self.network.name, self.part, "small" if self.small else "full"]
        return "/".join([*words, self.precision, *["remat"] * self.rematerialize, self.side])


class EvaluationCase(NamedTuple):
    """The evaluation of an image on one side."""

    size: Size
    precision: Precision
    side: Side

    @property
    def name(self) -> str:
        """Of the case."""
        return f"evaluation/{self.size[1]}x{self.size[0]}/{self.precision}/{self.side}"


def step_cases(sizes: Sizes) -> Iterator[StepCase]:
    """All of them, in order; an adaptation at full size is `full`."""
    main = sizes.network
    mixed: tuple[Precision, ...] = ("tf32", "bfloat16")
    for precision in mixed:
        yield StepCase(main, "adapt", precision, False, False, "ours")
    torch_sides: tuple[Side, ...] = ("torch",)
    for side in torch_sides:
        for part in PARTS:
            for small in (False, True):
                for precision in PRECISIONS:
                    yield StepCase(main, part, precision, small, False, side)
        for precision in PRECISIONS:
            yield StepCase(LIGHT, "adapt", precision, False, False, side)
    for precision in mixed:
        yield StepCase(main, "adapt", precision, True, False, "ours")
    yield StepCase(main, "adapt", "bfloat16", False, True, "ours")
    yield StepCase(main, "source", "tf32", False, False, "ours")
    yield StepCase(main, "adapt", "float32", False, False, "ours")
    for precision in PRECISIONS:
        yield StepCase(LIGHT, "adapt", precision, False, False, "ours")
    yield StepCase(main, "adapt", "tf32", False, True, "ours")
    yield StepCase(main, "source", "bfloat16", False, False, "ours")
    for precision in mixed:
        yield StepCase(main, "source", precision, True, False, "ours")
    for precision in mixed:
        yield StepCase(main, "adapt", precision, False, False, "torch.compile")


def evaluation_cases(sizes: Sizes) -> Iterator[EvaluationCase]:
    """All of them, in order."""
    sides: tuple[Side, ...] = ("ours", "torch")
    precisions: tuple[Precision, ...] = ("tf32", "bfloat16")
    for side in sides:
        for size in sizes.evaluation:
            for precision in precisions:
                yield EvaluationCase(size, precision, side)


def all_cases(name: str, *, cache: Path, goldens: Path, camvid: Path) -> list[Case]:
    """Every case, the most important first.

    Args:
        name: of the sizes, one of `SIZES`.
        cache: folder of the compilation cache, empty at first.
        goldens: folder of the golden values.
        camvid: folder of CamVid.
    """
    sizes = SIZES[name]
    environment = {
        **_MODEST,
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def case(name: str, process: str, function: str, least: float = 5.0, **arguments: Any) -> Case:
        place = f"{_HERE}.{function}"
        return Case(name, process, place, arguments, least * sizes.scale, environment)

    def step(wanted: StepCase) -> Case:
        both = sizes.small if wanted.small else None
        work = TrainingWork(
            wanted.part,
            both or sizes.source,
            both or sizes.target,
            wanted.network.depth,
            wanted.network.width,
            precision=wanted.precision,
            rematerialize=wanted.rematerialize,
        )
        fields = {"seconds": sizes.seconds, **work.as_json()}
        if wanted.side != "ours":
            compiled = wanted.side == "torch.compile"
            least = 60.0 if compiled else 3.0
            return case(wanted.name, "torch", "torch_side:step", least, compiled=compiled, **fields)
        first = wanted.part == "adapt" and not wanted.rematerialize and not wanted.small
        whole = first and wanted.network != LIGHT and wanted.precision != "float32"
        least = 12.0 if wanted.network == LIGHT else 25.0
        extra = {"compile_again": whole, "profile": whole}
        return case(wanted.name, "jax", "steps:step", least, **extra, **fields)

    steps = [step(wanted) for wanted in step_cases(sizes)]
    main = next(i for i, found in enumerate(steps) if found.process == "torch")
    last = next(i for i, found in enumerate(steps) if found.arguments.get("compiled"))
    eager = sum(found.process == "torch" for found in steps[:last])
    evaluations = [
        case(
            wanted.name,
            "jax" if wanted.side == "ours" else "torch",
            "steps:evaluation" if wanted.side == "ours" else "torch_side:evaluation",
            12.0 if wanted.side == "ours" else 3.0,
            seconds=sizes.seconds / 2,
            size=list(wanted.size),
            depth=sizes.network.depth,
            width=sizes.network.width,
            precision=wanted.precision,
        )
        for wanted in evaluation_cases(sizes)
    ]
    ours = [found for found in evaluations if found.process == "jax"]
    theirs = [found for found in evaluations if found.process == "torch"]

    layer = {"seconds": sizes.seconds / 10, "size": list(sizes.source), "names": list(LOSSES)}

    def errors(part: str, precision: Precision, seconds: float) -> Case:
        arguments = {"goldens": str(goldens), "part": part, "precision": precision}
        return case(
            f"exactness/{part}/{precision}", "jax", "exactness:errors", seconds, **arguments
        )

    light = TrainingWork(
        "adapt", sizes.source, sizes.target, LIGHT.depth, LIGHT.width, precision="tf32"
    )
    full = TrainingWork(
        "adapt",
        sizes.source,
        sizes.target,
        sizes.network.depth,
        sizes.network.width,
        precision="bfloat16",
    )
    light_fields = {k: v for k, v in light.as_json().items() if k != "variant"}
    return [
        case("device", "jax", "device:versions"),
        case(
            "ceilings",
            "jax",
            "device:ceilings",
            size=sizes.matrix,
            megabytes=sizes.copied_mb,
            seconds=sizes.seconds / 4,
        ),
        errors("losses", "float32", 5.0),
        errors("losses", "tf32", 5.0),
        *steps[:main],
        case("losses/tiles", "jax", "loss_layer:tiled", 15.0, **layer, tiles=list(sizes.tiles)),
        case("losses/whole", "jax", "loss_layer:whole", 5.0, **layer),
        *ours[:2],
        errors("network", "float32", 25.0),
        case("losses/torch", "torch", "torch_side:losses", **layer),
        *steps[main : main + eager],
        *theirs,
        *steps[main + eager : last],
        *ours[2:],
        errors("network", "tf32", 25.0),
        case(
            "methods",
            "jax",
            "steps:methods",
            60.0,
            seconds=sizes.seconds / 2,
            variants=list(METHODS),
            **light_fields,
        ),
        case(
            "input",
            "real",
            "real:input_share",
            30.0,
            camvid=str(camvid),
            frames=sizes.frames,
            original_size=list(sizes.original),
            steps=sizes.steps,
            **{"seconds": sizes.seconds, **full.as_json()},
        ),
        case(
            "training",
            "real",
            "real:training",
            60.0,
            arguments=[
                "--config=configs/camvid.py",
                f"--config.data_root={camvid}",
                *sizes.training,
            ],
            seconds=300.0,
        ),
        *steps[last:],
        errors("multi_iw_once", "float32", 40.0),
        errors("multi_iw_once", "tf32", 40.0),
    ]
