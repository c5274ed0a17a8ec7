"""`msl-jax export`."""

from __future__ import annotations

import argparse

from msl_jax.runtime import command_line


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected HEIGHT,WIDTH, found {text!r}") from None
    if min(height, width) < 16:
        raise argparse.ArgumentTypeError(f"expected sides of at least 16, found {text!r}")
    return height, width


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog=command_line.program("python -m msl_jax export"),
        description="Writes a run's network as a program (StableHLO) that needs JAX alone, with its"
        " classes and a model card; with --onnx in ONNX, too.",
    )
    parser.add_argument(
        "run", metavar="RUN", help="workdir, or a checkpoint of it: RUN:best, RUN:STEP, RUN:source"
    )
    parser.add_argument("output", metavar="OUT", help="folder that does not exist yet")
    parser.add_argument(
        "--size", type=_size, metavar="HEIGHT,WIDTH", help="of the images; default: target_size"
    )
    parser.add_argument("--onnx", action="store_true", help="write network.onnx as well")
    given = parser.parse_args()

    def command() -> None:
        from msl_jax.commands.export import export

        folder = export(given.run, given.output, given.size, given.onnx)
        print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")

    command_line.guard(command, interrupted="nothing was written")
