"""What is measured, the most important first."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.accelerator.running import Case
from benchmarks.accelerator.sizes import LIGHT, SIZES, Network, Size, Sizes
from benchmarks.support.work import Part, Precision, TrainingWork
from msl_jax.methods.variants import VARIANTS

Side = Literal["ours", "torch", "torch.compile"]

_HERE = "benchmarks.accelerator"
# Nothing is taken from the device before it is needed: two libraries share it, one after the other.
_MODEST = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
_SHARING = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.12"}
_MIXED: tuple[Precision, ...] = ("tf32", "bfloat16")
METHODS = tuple(name for name, variant in VARIANTS.items() if variant.adapt)


class StepCase(NamedTuple):
    """A training step that is measured on one side; `side` is whose, `small` of the small size."""

    network: Network
    part: Part
    precision: Precision
    side: Side
    small: bool = False
    rematerialize: bool = False

    @property
    def name(self) -> str:
        """Of the case."""
        words = ["step", self.network.name, self.part, "small" if self.small else "full"]
        return "/".join([*words, self.precision, *["remat"] * self.rematerialize, self.side])

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
    """The evaluation of an image on one side."""

    size: Size
    precision: Precision
    side: Side

    @property
    def name(self) -> str:
        """Of the case."""
        return f"evaluation/{self.size[1]}x{self.size[0]}/{self.precision}/{self.side}"

    def arguments(self, sizes: Sizes) -> dict[str, Any]:
        """Of `our_steps.evaluation`."""
        network = {"depth": sizes.network.depth, "width": sizes.network.width}
        return {"size": list(self.size), **network, "precision": self.precision}


def main_steps(sizes: Sizes) -> list[StepCase]:
    """Ours that matter most: compiled with nothing beside, and looked into."""
    return [StepCase(sizes.network, "adapt", precision, "ours") for precision in _MIXED]


def further_steps(sizes: Sizes) -> list[StepCase]:
    """Our others, in order."""
    main = sizes.network
    return [
        *(StepCase(main, "adapt", precision, "ours", small=True) for precision in _MIXED),
        StepCase(main, "source", "tf32", "ours"),
        StepCase(main, "adapt", "bfloat16", "ours", rematerialize=True),
        *(StepCase(LIGHT, "adapt", precision, "ours") for precision in _MIXED),
        StepCase(main, "adapt", "float32", "ours"),
        StepCase(main, "source", "bfloat16", "ours"),
        StepCase(main, "source", "tf32", "ours", small=True),
        StepCase(main, "adapt", "tf32", "ours", rematerialize=True),
    ]


def torch_steps(sizes: Sizes) -> list[StepCase]:
    """PyTorch's for each of ours, which it has no rematerialisation of."""
    ours = [*main_steps(sizes), *further_steps(sizes)]
    return [case._replace(side="torch") for case in ours if not case.rematerialize]


def evaluation_cases(sizes: Sizes, side: Side) -> list[EvaluationCase]:
    """All of a side."""
    return [
        EvaluationCase(size, precision, side) for size in sizes.evaluation for precision in _MIXED
    ]


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

    def alone(name: str, process: str, function: str, least: float = 5.0, **arguments: Any) -> Case:
        place = f"{_HERE}.{function}"
        return Case(name, process, place, arguments, least * sizes.scale, environment)

    def beside(name: str, function: str, least: float = 20.0, **arguments: Any) -> Case:
        case = alone(name, "", function, least, **arguments)
        return case._replace(beside=True, environment={**environment, **_SHARING})

    def our_step(case: StepCase, least: float, **extra: bool) -> Case:
        fields = case.work(sizes).as_json()
        return alone(case.name, "jax", "steps:step", least, **_rounds(sizes), **extra, **fields)

    def torch_step(case: StepCase, least: float = 8.0, **extra: bool) -> Case:
        fields = case.work(sizes).as_json()
        arguments = {**_rounds(sizes), **extra, **fields}
        return alone(case.name, "torch", "torch_side:step", least, **arguments)

    def ahead(name: str, **programs: Any) -> Case:
        return beside(f"ahead/{name}", "steps:compile_ahead", **programs)

    def errors(part: str, precision: Precision) -> Case:
        arguments: dict[str, Any] = {"goldens": str(goldens), "part": part, "precision": precision}
        if part == "losses":
            return alone(f"exactness/{part}/{precision}", "jax", "exactness:errors", **arguments)
        return beside(f"exactness/{part}/{precision}", "exactness:errors", **arguments)

    def training(name: str, *arguments: str) -> Case:
        return beside(
            f"training/{name}",
            "real:training",
            arguments=[f"--config=configs/{name}.py", *arguments],
            limit=300.0,
        )

    layer: dict[str, Any] = {
        "seconds": sizes.seconds / 10,
        "size": list(sizes.source),
        "names": list(sizes.losses),
    }
    half: dict[str, Any] = {"seconds": sizes.seconds / 2}
    light = StepCase(LIGHT, "adapt", "tf32", "ours").work(sizes)
    methods = [dataclasses.replace(light, variant=variant).as_json() for variant in METHODS]
    full = StepCase(sizes.network, "adapt", "bfloat16", "ours").work(sizes).as_json()
    return [
        alone("device", "jax", "device:versions"),
        alone(
            "ceilings",
            "jax",
            "device:ceilings",
            size=sizes.matrix,
            megabytes=sizes.copied_mb,
            seconds=sizes.seconds / 4,
        ),
        errors("losses", "float32"),
        errors("losses", "tf32"),
        *(our_step(case, 60.0, compile_again=True, profile=True) for case in main_steps(sizes)),
        *(
            alone(f"losses/tile {tile}", "jax", "loss_layer:tiled", 8.0, **layer, tile=tile)
            for tile in sizes.tiles
        ),
        alone("losses/whole", "jax", "loss_layer:whole", 8.0, **layer),
        *(torch_step(case) for case in torch_steps(sizes)),
        errors("network", "float32"),
        errors("network", "tf32"),
        errors("multi_iw_once", "float32"),
        training("camvid", f"--config.data_root={camvid}", *sizes.training),
        *([training("demo")] if sizes.demo else []),
        *(ahead(case.name, steps=[case.work(sizes).as_json()]) for case in further_steps(sizes)),
        *(
            ahead(case.name, evaluations=[case.arguments(sizes)])
            for case in evaluation_cases(sizes, "ours")
        ),
        *(ahead(f"methods {n}", steps=methods[n::3]) for n in range(3)),
        *(our_step(case, 12.0) for case in further_steps(sizes)),
        *(
            alone(case.name, "jax", "steps:evaluation", 8.0, **half, **case.arguments(sizes))
            for case in evaluation_cases(sizes, "ours")
        ),
        alone("losses/torch", "torch", "torch_side:losses", **layer),
        *(
            alone(case.name, "torch", "torch_side:evaluation", 3.0, **half, **case.arguments(sizes))
            for case in evaluation_cases(sizes, "torch")
        ),
        alone(
            "input",
            "real",
            "real:input_share",
            30.0,
            camvid=str(camvid),
            frames=sizes.frames,
            original_size=list(sizes.original),
            steps=sizes.steps,
            **_rounds(sizes),
            **full,
        ),
        alone("methods", "jax", "steps:methods", 60.0, **half, works=methods),
        *(
            torch_step(case._replace(side="torch.compile"), 60.0, compiled=True)
            for case in (main_steps(sizes) if sizes.torch_compile else [])
        ),
    ]


def _rounds(sizes: Sizes) -> dict[str, Any]:
    return {"seconds": sizes.seconds}
