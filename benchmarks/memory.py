"""Memory of the adaptation step with the options that save memory, from the compiled programs.

    python -m benchmarks.memory [--markdown]

Nothing is run and no array is created: XLA plans a program's memory when it compiles it. Prints one
JSON object in MB (10^6 bytes), or a table. The programs are compiled for the current platform; what
is kept for the gradient is JAX's choice and the same on every platform.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections.config_dict import ConfigDict

from benchmarks.support.reporting import program_memory, surroundings
from benchmarks.support.work import add_size_option
from msl_jax.config import base_config, presets
from msl_jax.config.keys import check_config
from msl_jax.methods.method import Training
from msl_jax.methods.registry import training_of
from msl_jax.models.initial import abstract_variables
from msl_jax.runtime.parallel import AXIS
from msl_jax.tasks.registry import build_model
from msl_jax.training.state import TrainState
from msl_jax.training.step import Context, Pass

# Name in the table -> keys that differ from the default, float32 and one image per domain and step.
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "bfloat16": {"compute_dtype": "bfloat16"},
    "rematerialize": {"rematerialize": True},
    "bfloat16, rematerialize": {"compute_dtype": "bfloat16", "rematerialize": True},
    "accumulate 2": {"accumulate": 2},
    "batch 2": {"batch_size": 2},
}


def measure(keys: Mapping[str, Any]) -> dict[str, float]:
    """Memory of the step of IW maximum squares with guidance.

    Args:
        keys: of the configuration, where they differ from the published ones.

    Returns:
        MB of the arguments (state and batch; the new state reuses the old one's memory), of the
        temporaries (activations and gradients), in total, and of what the larger of the two passes
        keeps from forward to backward, including the parameters.
    """
    config = base_config("memory", "max_square_iw_multi")
    config.update_from_flattened_dict(keys)
    config = presets.complete(config)
    check_config(config)
    state, batch, training = abstract_step(config)
    step: Any = training.step(accumulate=config.accumulate)
    return {
        **program_memory(step.lower(state, batch).compile()),
        "kept_mb": max(
            kept_bytes(single, state, batch, config.accumulate) for single in training.passes
        )
        / 1e6,
    }


def kept_bytes(single: Pass, state: TrainState, batch: Any, accumulate: int = 1) -> int:
    """Bytes that a pass keeps for its gradient: activations and the parameters that it reads.

    Args:
        single: one of the passes of a step.
        state: shapes of the state.
        batch: shapes of the batch, `[1, K B, ...]` each.
        accumulate: number K of micro-batches; one of them is counted.
    """

    def backward(state: TrainState, batch: Any) -> Any:
        context = Context(state.step, state.carried)
        return jax.vjp(
            lambda p: single(p, state.batch_stats, batch, context), state.params, has_aux=True
        )[1]

    micro = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            (1, leaf.shape[1] // accumulate, *leaf.shape[2:]), leaf.dtype
        ),
        batch,
    )
    on_one = jax.vmap(backward, in_axes=(None, 0), axis_name=AXIS)
    kept = jax.eval_shape(on_one, state, micro)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))


def abstract_step(config: ConfigDict) -> tuple[TrainState, Any, Training]:
    """Shapes of the state and of the batch on one device, and what the step optimises.

    No array is created.
    """
    model = build_model(config)
    variables = abstract_variables(model)
    training = training_of(config, model, variables["params"], adapt=True)
    state = jax.eval_shape(training.start, variables)

    def images(size: tuple[int, int], *channels: int) -> jax.ShapeDtypeStruct:
        count = config.accumulate * config.batch_size
        return jax.ShapeDtypeStruct((1, count, *size, *channels), jnp.uint8)

    batch = {
        "source": {
            "image": images(config.source_size, 3),
            "label": images(config.source_size),
        },
        "target": {"image": images(config.target_size, 3)},
    }
    return state, batch, training


def markdown(options: Mapping[str, Mapping[str, float]]) -> str:
    """A table with a row per option.

    >>> a = {"arguments_mb": 1.2, "temporaries_mb": 30.0, "total_mb": 31.2, "kept_mb": 20.0}
    >>> print(markdown({"a": a}))
    | | arguments | temporaries | total | kept |
    |---|---|---|---|---|
    | a | 1 | 30 | 31 | 20 |
    """
    columns = ("arguments_mb", "temporaries_mb", "total_mb", "kept_mb")
    head = ["", *(name.removesuffix("_mb") for name in columns)]
    rows = [
        [name, *(f"{found[column]:.0f}" for column in columns)] for name, found in options.items()
    ]
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0].replace("|  |", "| |"), "|" + "---|" * len(head), *lines[1:]])


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_size_option(parser, "--source_size", "720,1280", "the source image")
    add_size_option(parser, "--target_size", "512,1024", "the target image")
    parser.add_argument("--depth", type=int, default=101, help="number of layers of the network")
    parser.add_argument("--width", type=int, default=64, help="channels of its stem")
    parser.add_argument("--markdown", action="store_true", help="print a table")
    arguments = parser.parse_args()
    keys = {
        "source_size": arguments.source_size,
        "target_size": arguments.target_size,
        "model.depth": arguments.depth,
        "model.width": arguments.width,
    }
    options = {name: measure({**keys, **changed}) for name, changed in OPTIONS.items()}
    if arguments.markdown:
        print(markdown(options))
        return
    found = {
        "benchmark": "memory",
        "options": options,
        "platform": jax.default_backend(),
        "sizes": keys,
        **surroundings(("jax", "jaxlib")),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
