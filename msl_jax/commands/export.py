"""`msl-jax export`: a trained network as a program that needs JAX alone, or onnxruntime."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax import export as jax_export
from ml_collections.config_dict import ConfigDict

from msl_jax import __version__
from msl_jax.commands.onnx_program import INPUT, to_onnx
from msl_jax.config import base_config
from msl_jax.data.labels import LabelSet
from msl_jax.models.spec import NetworkSpec
from msl_jax.runs.checkpoints import Checkpoints
from msl_jax.runs.metrics import main_metric
from msl_jax.runs.workdir import ADAPT_STAGE
from msl_jax.runtime import extras
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.files import atomic_write, write_json, write_text
from msl_jax.runtime.paths import absolute
from msl_jax.tasks.registry import build_model, task_of
from msl_jax.weights.find import Weights
from msl_jax.weights.trained import open_trained

PROGRAM, DESCRIPTION, CARD = "network.jax_export", "network.json", "README.md"
ONNX = "network.onnx"
PLATFORMS = ("cpu", "cuda")

_JAX = (
    "from pathlib import Path\n\nimport jax.export",
    f'network = jax.export.deserialize(Path("{PROGRAM}").read_bytes())',
    "probabilities = network.call(np.asarray(photo)[None])",
)
_ONNX = (
    "import onnxruntime",
    f'session = onnxruntime.InferenceSession("{ONNX}")',
    f'(probabilities,) = session.run(None, {{"{INPUT}": np.asarray(photo)[None]}})',
)
_LICENCE = (
    "of the weights: the terms of the data they were trained on, and of weights that the training"
    " started from; of msl_jax's code: Apache-2.0"
)


def export(
    checkpoint: str, output: str, size: tuple[int, int] | None = None, onnx: bool = False
) -> Path:
    """Writes a run's network with its weights as StableHLO, and what a user of it has to know.

    The program takes uint8 images `[B, H, W, 3]`, red, green, blue, and returns probabilities
    float32 `[B, H, W, C]`, or `[B, C]` of a classification, as the run's evaluation keys (``flip``,
    ``scales``) ask for. It runs on CPUs and NVIDIA GPUs, with ``jax.export.deserialize(...).call``.

    Args:
        checkpoint: of a run, as `msl_jax.weights.find.find` takes it.
        output: a folder that does not exist yet: ``network.jax_export``, ``network.json`` with
            shapes and classes, and ``README.md``, a model card.
        size: (height, width) of the images; default: target_size. Their number B stays open.
        onnx: writes ``network.onnx`` too, the same in ONNX.

    Returns:
        The folder.

    Raises:
        UserError: no run's checkpoint, the folder exists, a package is missing, or onnxruntime
            computes something else.
    """
    folder = absolute(output)
    if folder.exists():
        raise UserError(f"{folder} exists already and is not replaced; give another name")
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError(f"flatbuffers is missing: {extras.command('export')}")
    weights, config = open_trained(checkpoint, base_config("export"), {})
    if weights.run is None or weights.classes is None:
        raise UserError(
            f"{checkpoint} ({weights.title}): expected a checkpoint of a run, which tells the"
            " classes and how it was trained"
        )
    shape = ("b", *(size or config.target_size), 3)
    sides = jax_export.symbolic_shape(", ".join(map(str, shape)))
    images, network = jax.ShapeDtypeStruct(sides, jnp.uint8), _network(config, weights)
    exported = jax_export.export(jax.jit(network), platforms=PLATFORMS)(images)
    program = to_onnx(network, images) if onnx else None
    with atomic_write(folder) as partial:
        partial.mkdir()
        (partial / PROGRAM).write_bytes(exported.serialize())
        described = _description(config, weights.classes, shape, exported)
        if program is not None:
            (partial / ONNX).write_bytes(program.SerializeToString())
            described["onnx"] = {"opset": program.opset_import[0].version}
        write_json(partial / DESCRIPTION, described)
        write_text(partial / CARD, _card(config, weights, described))
    return folder


def _network(config: ConfigDict, weights: Weights) -> Callable[[Array], Array]:
    """Probabilities of images; the variables become constants of a program."""
    model = build_model(config)
    variables = weights.load(model)
    probabilities = task_of(config).probabilities(config, model)
    return lambda images: probabilities(variables, images)


def _description(
    config: ConfigDict,
    classes: LabelSet,
    shape: tuple[Any, ...],
    exported: jax_export.Exported,
) -> dict[str, Any]:
    (result,) = exported.out_avals
    return {
        "task": config.task,
        "input": {
            "shape": list(shape),
            "dtype": "uint8",
            "meaning": "images, red, green, blue of 0..255",
        },
        "output": {
            "shape": [side if isinstance(side, int) else str(side) for side in result.shape],
            "dtype": "float32",
            "meaning": "probabilities of the classes",
        },
        "classes": classes.to_json()["classes"],
        "platforms": list(exported.platforms),
        "calling_convention_version": exported.calling_convention_version,
        "made_with": {"msl_jax": __version__, "jax": jax.__version__},
    }


def _card(config: ConfigDict, weights: Weights, described: dict[str, Any]) -> str:
    """The model card, in Markdown."""
    assert weights.run is not None
    run, (batch, height, width, _) = weights.run, described["input"]["shape"]
    metrics = Checkpoints(run.folder).metrics(run.step)
    figures = [
        f"| {config[f'{domain}_eval']} ({domain}) | {main.title} {main.percent} |"
        for domain, found in metrics.items()
        if found and (main := main_metric(found))
    ]
    network = NetworkSpec.from_config(config).model
    start = f", starting from {config.init_from}" if config.init_from else ""
    unlabelled = config.target_train if run.folder.name == ADAPT_STAGE else "none"
    stage = f"step {run.step:,} of {run.folder.name}"
    names = ", ".join(entry["name"] for entry in described["classes"])
    made_with = ", ".join(f"{name} {version}" for name, version in described["made_with"].items())
    onnx = f"\n`{ONNX}` is the same in ONNX:\n\n{_python(_ONNX, height, width)}\n"
    return f"""# {config.name}:{config.variant}

{config.task.capitalize()} by a network that msl_jax has trained.

| | |
|---|---|
| method | {config.variant}, preset {config.preset}, seed {config.seed}, {stage}{start} |
| labelled images | {config.source_train} |
| unlabelled images | {unlabelled} |
| network | {", ".join(f"{key} {value}" for key, value in network.items())} |
| images | uint8 [{batch}, {height}, {width}, 3], red, green, blue |
| result | float32 [{", ".join(map(str, described["output"]["shape"]))}], probabilities |
| classes | {names} |
| platforms | {", ".join(described["platforms"])} |
| made with | {made_with} |
| licence | {_LICENCE} |

| evaluated on | in percent |
|---|---|
{chr(10).join(figures) or "| nothing | |"}

{_python(_JAX, height, width)}

The program is StableHLO (`network.mlir_module()` shows it), in JAX's serialization; it needs
`jax` and `flatbuffers`. {DESCRIPTION} has shapes and classes for programs.

Photos are resized to {width}x{height} whatever their proportions, so that others are stretched:
crop them to these first, or export with `--size HEIGHT,WIDTH` of their proportions.
{onnx if "onnx" in described else ""}"""


def _python(runtime: tuple[str, str, str], height: int, width: int) -> str:
    """A block of the card that runs alone, by a runtime's imports, network and call."""
    imports, network, call = runtime
    return f"""```python
{imports}
import numpy as np
from PIL import Image, ImageOps

{network}
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")  # upright
photo = photo.resize(({width}, {height}), Image.Resampling.BICUBIC)
{call}
classes = probabilities.argmax(-1)  # numbers of the classes above, from 0
```"""
