"""`msl-jax COMMAND ...`: finds the command and runs what its script or module runs.

Imports nothing that takes long: each command imports what it needs.
"""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path

import msl_jax
from msl_jax.runtime import command_line
from msl_jax.runtime.errors import did_you_mean

# Name: what it does, and the function that runs it.
COMMANDS = {
    "train": ("train a configuration, or continue a run", "msl_jax.cli.train:main"),
    "eval": ("evaluate a checkpoint on both domains", "msl_jax.cli.evaluate:main"),
    "predict": ("segment or classify photos", "msl_jax.cli.predict:main"),
    "report": ("write a run as one HTML page", "msl_jax.report.__main__:main"),
    "figures": ("draw the paper's figures for a run", "msl_jax.analysis.figures:command"),
    "unlabelled": ("compare runs without target labels", "msl_jax.analysis.unlabelled:command"),
    "convert": ("convert weights to and from PyTorch's files", "msl_jax.convert.__main__:main"),
    "export": ("write a network as a program for JAX alone", "msl_jax.cli.export:main"),
    "prepare": ("check a data set's files and make its records", "msl_jax.data.prepare:main"),
    "prior": ("count where the source's classes lie, for cbst_sp", "msl_jax.cli.prior:main"),
    "list": ("list configurations, variants, data sets, keys ...", "msl_jax.cli.listing:main"),
}


def usage() -> str:
    """What `msl-jax --help` prints."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "Domain adaptation for semantic segmentation with the maximum squares loss.",
            "",
            "  msl-jax COMMAND ...",
            "",
            *(f"  {name:{width}}  {meaning}" for name, (meaning, _) in COMMANDS.items()),
            "",
            "msl-jax COMMAND --help says more; msl-jax --version shows the version. A first",
            "run that needs no data: msl-jax train",
        ]
    )


def main() -> None:
    """Runs the command that `sys.argv` names."""
    command_line.note_other_copy(Path.cwd())
    name, rest = (sys.argv[1] if sys.argv[1:] else "--help"), sys.argv[2:]
    if name in ("-h", "--help", "help"):
        command_line.guard(lambda: print(usage()), "", only_prints=True)
    elif name == "--version":
        print(msl_jax.__version__)
    elif name in COMMANDS:
        sys.argv = [f"{command_line.PROGRAM} {name}", *rest]
        pkgutil.resolve_name(COMMANDS[name][1])()
    else:
        hint = did_you_mean(name, COMMANDS)
        print(f"error: there is no command {name!r}{hint}\n\n{usage()}", file=sys.stderr)
        sys.exit(command_line.EXIT_USAGE)
