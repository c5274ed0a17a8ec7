"""Memory of the adaptation step under the options that save it, from the compiled programs.

    python -m benchmarks.memory [--markdown]

Nothing is run and no array is made: XLA plans the memory of a program when it compiles it. Prints
one JSON object in MB (10^6 bytes), or a table. The programs are those for the platform at hand;
what is kept for the gradient is JAX's own choice and the same on all.
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
from msl_jax.models.initial import abstract_variables
from msl_jax.tasks.registry import build_model, task_of
from msl_jax.tasks.task import Training
from msl_jax.training.state import TrainState
from msl_jax.training.step import AXIS, Pass, parallel_train_step

# Name in the table -> keys that differ from the default: float32, one image of each domain a step.
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
        keys: of the configuration, that differ from the published ones.

    Returns:
        MB of the arguments (state and batch; the new state takes the old one's memory), of the
        temporaries (activations and gradients), of both, and of what the larger of the two passes
        keeps from its forward to its backward part, the parameters among it.
    """
    config = base_config("memory", "max_square_iw_multi")
    config.update_from_flattened_dict(keys)
    config = presets.complete(config)
    check_config(config)
    state, batch, training = abstract_step(config)
    passes = training.passes
    assert not callable(passes)  # as it may be in classification
    step: Any = parallel_train_step(*training, accumulate=config.accumulate)
    return {
        **program_memory(step.lower(state, batch).compile()),
        "kept_mb": max(kept_bytes(single, state, batch, config.accumulate) for single in passes)
        / 1e6,
    }


def kept_bytes(single: Pass, state: TrainState, batch: Any, accumulate: int = 1) -> int:
    """Bytes that a pass keeps for its gradient: activations, and the parameters that it reads.

    Args:
        single: one of the passes of a step.
        state: shapes of the state.
        batch: shapes of the batch, `[1, K B, ...]` each.
        accumulate: number K of micro-batches; one of them is counted.
    """

    def backward(params: Any, stats: Any, batch: Any) -> Any:
        return jax.vjp(lambda p: single(p, stats, batch), params, has_aux=True)[1]

    micro = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            (1, leaf.shape[1] // accumulate, *leaf.shape[2:]), leaf.dtype
        ),
        batch,
    )
    on_one = jax.vmap(backward, in_axes=(None, None, 0), axis_name=AXIS)
    kept = jax.eval_shape(on_one, state.params, state.batch_stats, micro)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept))


def abstract_step(config: ConfigDict) -> tuple[TrainState, Any, Training]:
    """Shapes of the state and of the batch on one device, and what the step optimises."""
    model = build_model(config)
    variables = abstract_variables(model)
    training = task_of(config).training(config, model, variables["params"], adapt=True)
    state = jax.eval_shape(lambda v: TrainState.create(v, training.optimizer), variables)

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
    """A table with a row for each option.

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
    parser.add_argument("--depth", type=int, default=101, help="layers of the network")
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
