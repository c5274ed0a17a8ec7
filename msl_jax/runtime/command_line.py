"""Flags and errors of the three commands."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from absl import flags
from absl import logging as absl_logging
from ml_collections import config_flags

from msl_jax.runtime import stopping
from msl_jax.runtime.errors import UserError

# Keeps the messages of XLA's C++ side off the console; it reads this when JAX is imported, so this
# module has to come before. What goes wrong arrives as an exception all the same. On some CPUs each
# program taken from the compilation cache would print a false alarm (jax issue 38445).
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FLAGS = flags.FLAGS
DEFAULT_CONFIG = Path(__file__).parents[2] / "configs" / "demo.py"

# What a checkpoint's path may be, for the flags' help.
PATH_HELP = "WORKDIR[:best|:STEP|:source], a converted checkpoint, or a .pth or .safetensors file"

# After SIGTERM a command leaves with 143, after SIGINT with 130: see docs/reliability.md.
EXIT_ERROR, EXIT_USAGE = 1, 2


def define_config() -> Any:
    """Defines `--config` and, with it, a flag for each key."""
    try:
        return config_flags.DEFINE_config_file(
            "config", None, "configs/NAME.py[:VARIANT], default configs/demo.py"
        )
    except flags.Error as error:  # ml_collections reads a --flagfile here already
        _fail(_UsageError(f"command line: {error}"), EXIT_USAGE, debug=False)


def overrides() -> dict[str, Any]:
    """Keys that were set by `--config.KEY=VALUE`, with their parsed values."""
    values = {}
    for name in FLAGS:
        if name.startswith("config.") and FLAGS[name].present:
            values[name.removeprefix("config.")] = FLAGS[name].value
    return values


def run(command: Callable[[], object], usage: str, interrupted: str) -> None:
    """Parses the command line, runs `command` and leaves the process.

    A `UserError` is printed as one message and leaves with code 1, a wrong command line with
    code 2; neither shows a traceback unless `--config.debug=true` asks for it. After SIGTERM or
    Ctrl-C the text `interrupted` says what to do.
    """
    _quiet_libraries()
    if {"-h", "-help", "--help"} & set(sys.argv[1:]):
        print(usage.strip(), FLAGS.main_module_help(), sep="\n\n")
        sys.exit()
    wanted = ("config.debug", "config.debug=true", "config.debug=1", "config.debug=t")
    debug = any(arg.lower().lstrip("-") in wanted for arg in sys.argv[1:])

    def parse_and_run() -> None:
        try:
            _parse(sys.argv)
        except _UsageError as error:
            _fail(UserError(f"{error}\n\n{usage.strip()}"), EXIT_USAGE, debug)
        from msl_jax.runtime.compilation_cache import keep_compiled_programs  # imports JAX

        keep_compiled_programs()
        command()

    guard(parse_and_run, interrupted, debug)


def guard(command: Callable[[], object], interrupted: str, debug: bool = False) -> None:
    """Runs `command`; an error of the user's ends the process with one message.

    Args:
        command: what to run.
        interrupted: what to say after SIGTERM or Ctrl-C.
        debug: show the traceback.
    """
    _quiet_libraries()
    _print_any_name()
    with stopping.handled():
        try:
            with stopping.at_once():
                command()
        except stopping.Stopped as stopped:
            _leave(f" {stopped}" if stopped.args else "", interrupted)
        except Exception as error:
            if stopping.lost():
                _leave("", interrupted)
            if isinstance(error, UserError):
                _fail(error, EXIT_ERROR, debug)
            if isinstance(error, OSError):
                # A full disk, a folder that vanished: no mistake in the program.
                _fail(UserError(str(error)), EXIT_ERROR, debug)
            raise


def _leave(where: str, interrupted: str) -> NoReturn:
    """Ends the process after a signal."""
    print(f"stopped by {stopping.name()}{where}; {interrupted}", file=sys.stderr)
    sys.exit(stopping.exit_code())


def _parse(argv: list[str]) -> None:
    """Parses flags; what absl and ml_collections raise becomes a `_UsageError`."""
    given = _given_config(argv)
    if given is None:
        # Here and not as the flag's default, which would be read when the flag is defined.
        argv = [argv[0], f"--config={DEFAULT_CONFIG}", *argv[1:]]
    try:
        remaining = FLAGS(argv)
        _ = FLAGS.config.name  # a file that could not be read is reported at the first use
    except OSError as error:
        raise _UsageError(
            f"--config={given}: cannot be read; expected configs/NAME.py[:VARIANT] with one of "
            + ", ".join(_configs())
        ) from error
    except (AttributeError, KeyError) as error:
        raise _UsageError(_unknown_key(str(error), argv)) from error
    except (flags.Error, TypeError, ValueError) as error:
        raise _UsageError(f"command line: {error}") from error
    if len(remaining) > 1:
        raise _UsageError(f"command line: unexpected argument {remaining[1]!r}")


def _given_config(argv: list[str]) -> str | None:
    """What `--config` is set to, None where it is not."""
    for index, arg in enumerate(argv):
        name, equals, value = arg.lstrip("-").partition("=")
        if arg.startswith("-") and name == "config":
            return value if equals else "".join(argv[index + 1 : index + 2])
    return None


def _unknown_key(text: str, argv: list[str]) -> str:
    """Names the argument that ml_collections means: `text` holds the last part of its key."""
    words = re.findall(r"\w+", text)
    for arg in argv[1:]:
        key = arg.lstrip("-").partition("=")[0]
        if key.startswith("config.") and key.rpartition(".")[2] in words:
            guess = re.search(r'Did you mean "(\w+)', text)
            hint = f"did you mean {guess[1]}? All" if guess else "all"
            return f"--{key}: no such key; {hint} keys are listed in msl_jax/config/keys.py"
    return f"--config: the file cannot be read ({text}); --config.debug=true shows where"


def _configs() -> list[str]:
    return [f"configs/{path.name}" for path in sorted(DEFAULT_CONFIG.parent.glob("*.py"))]


class _UsageError(UserError):
    """The command line itself is wrong."""


def _fail(error: UserError, code: int, debug: bool) -> NoReturn:
    if debug:
        raise error
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


def _quiet_libraries() -> None:
    """Keeps routine messages of the libraries off the console; warnings and errors stay."""
    absl_logging.set_verbosity(absl_logging.WARNING)


def _print_any_name() -> None:
    """Lets names of files be printed that are no valid UTF-8, as stderr does from the start."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
