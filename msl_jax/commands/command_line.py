"""Flags and errors of the three commands."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags

from msl_jax.errors import UserError

FLAGS = flags.FLAGS
DEFAULT_CONFIG = Path(__file__).parents[2] / "configs" / "demo.py"

EXIT_ERROR, EXIT_USAGE = 1, 2


def define_config() -> Any:
    """Defines `--config` and, with it, a flag for each key."""
    return config_flags.DEFINE_config_file(
        "config", str(DEFAULT_CONFIG), "configs/NAME.py[:VARIANT]; keys: --config.KEY=VALUE"
    )


def config_was_given() -> bool:
    """Whether `--config` itself stands on the command line."""
    return FLAGS["config"].present > 0


def overrides() -> dict[str, Any]:
    """Keys that were set by `--config.KEY=VALUE`, with their parsed values."""
    values = {}
    for name in FLAGS:
        if name.startswith("config.") and FLAGS[name].present:
            values[name.removeprefix("config.")] = FLAGS[name].value
    return values


def run(command: Callable[[], object], usage: str) -> None:
    """Parses the command line, runs `command` and leaves the process.

    A `UserError` is printed as one message and leaves with code 1, a wrong command line with
    code 2; neither shows a traceback unless `--config.debug=true` asks for it.
    """
    _quiet_libraries()
    debug = any(arg.lstrip("-") == "config.debug=true" for arg in map(str.lower, sys.argv[1:]))
    try:
        remaining = FLAGS(sys.argv)
        if len(remaining) > 1:
            raise flags.Error(f"unexpected argument {remaining[1]!r}")
        command()
    except UserError as error:
        _fail(error, EXIT_ERROR, debug)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        if not isinstance(error, flags.Error) and not _raised_while_parsing():
            raise
        text = str(error.args[0] if isinstance(error, KeyError) else error)
        _fail(UserError(f"{text}\n{usage}"), EXIT_USAGE, debug)
    except KeyboardInterrupt:
        _fail(UserError("stopped; the same command continues from the last checkpoint"), 130, debug)


def _raised_while_parsing() -> bool:
    return not FLAGS.is_parsed()


def _fail(error: UserError, code: int, debug: bool) -> None:
    if debug:
        raise error
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


def _quiet_libraries() -> None:
    """Keeps routine messages of the libraries off the console; warnings and errors stay."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # of XLA's C++ side
    absl_logging.set_verbosity(absl_logging.WARNING)
    logging.getLogger("jax").setLevel(logging.ERROR)
