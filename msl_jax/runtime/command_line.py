"""How commands run and end: signals, errors as one message, exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

from absl import logging as absl_logging

from msl_jax.runtime import closed_pipe, extras, stopping
from msl_jax.runtime.errors import UserError, did_you_mean, out_of_resources
from msl_jax.runtime.text import lines

# Keeps messages of XLA's C++ code off the console. It reads this when JAX is imported, so this
# module has to be imported first. Errors still arrive as exceptions. On some CPUs each program
# from the compilation cache would print a false alarm (jax issue 38445).
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PROGRAM = "msl-jax"
HELP = {"-h", "-help", "--help"}

# After SIGTERM a command exits with 143, after SIGINT with 130: see docs/reliability.md.
EXIT_ERROR, EXIT_USAGE = 1, 2

_LEAST_ADDRESS_SPACE = 3_000_000 * 1024  # bytes


def program(otherwise: str, name: str = "") -> str:
    """How to call a command: ``msl-jax NAME`` where this process was called so, or `otherwise`.

    Args:
        otherwise: by script or module, such as ``python train.py``, which only a clone has.
        name: of the command; default: the one that runs.
    """
    called, _, own = sys.argv[0].partition(" ")
    return f"{PROGRAM} {name or own}" if called == PROGRAM and own else otherwise


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """A type of `argparse` for one of these names, which suggests a near one."""

    def checked(text: str) -> str:
        if text in names:
            return text
        near = did_you_mean(text, names) or ";"
        raise argparse.ArgumentTypeError(
            f"invalid choice: {text!r}{near} choose one of {', '.join(names)}"
        )

    return checked


def note_other_copy(folder: Path) -> None:
    """Says on stderr if a clone in `folder` has other code than what runs."""
    clone, running = folder / "msl_jax", Path(__file__).parents[1]
    if (clone / "__init__.py").is_file() and not clone.samefile(running):
        print(
            f"note: this runs the code in {running}, not that in {clone.absolute()}; pip install"
            f" -e {folder.absolute()} makes it run the latter",
            file=sys.stderr,
        )


def guard(
    command: Callable[[], object],
    interrupted: str,
    debug: bool = False,
    *,
    only_prints: bool = False,
) -> None:
    """Runs `command`; a user's error ends the process with one message.

    Args:
        command: what to run.
        interrupted: what to say after SIGTERM or Ctrl-C.
        debug: show the traceback.
        only_prints: the command computes nothing, as none does that is asked for its help.
    """
    _quiet_libraries()
    closed_pipe.outlived()
    _print_any_name()
    with stopping.handled():
        try:
            with stopping.at_once():
                if not (only_prints or HELP & set(sys.argv[1:])):
                    _expect_address_space()
                command()
        except stopping.Stopped as stopped:
            _leave(f" {stopped}" if stopped.args else "", interrupted)
        except Exception as error:
            if stopping.swallowed():
                _leave("", interrupted)
            if isinstance(error, UserError):
                fail(error, EXIT_ERROR, debug)
            if isinstance(error, OSError):
                # A full disk or a folder that vanished is not a bug.
                fail(UserError(str(error)), EXIT_ERROR, debug)
            if (explained := _of_the_machine(error)) is not None:
                fail(explained, EXIT_ERROR, debug)
            raise


def _of_the_machine(error: Exception) -> UserError | None:
    """An error that the machine causes, not the program, as one for the user."""
    first = (str(error).splitlines() or [""])[0]
    # Without the package for a platform JAX only asserts that there is one.
    if isinstance(error, RuntimeError | AssertionError) and _lacks_device():
        wanted, reason = os.environ["JAX_PLATFORMS"], f" ({first})" if first else ""
        return UserError(
            f"JAX_PLATFORMS={wanted}: JAX finds no such device{reason}. Unset the variable to use"
            " the device that is there; a GPU needs the CUDA build of JAX:"
            f" {extras.command('cuda12')}"
        )
    if isinstance(error, Warning):  # of Python and libraries; none of this project's own
        return UserError(
            f"{type(error).__name__}: {first} (python -W error, or PYTHONWARNINGS, makes warnings"
            " of libraries errors; run without it)"
        )
    if out_of_resources(error) or "RESOURCE_EXHAUSTED" in first:
        return UserError(
            f"not enough memory ({first or 'MemoryError'}). Lower config.batch_size (with"
            " config.accumulate), config.eval_batch_size or the sizes, set"
            " config.rematerialize=true, predict in a --window, or raise the limit (ulimit -v);"
            " the same command goes on from what is kept"
        )
    return None


def _lacks_device() -> bool:
    """Whether `JAX_PLATFORMS` names a platform without which JAX cannot do anything."""
    if "JAX_PLATFORMS" not in os.environ or "jax" not in sys.modules:
        return False
    try:
        sys.modules["jax"].devices()
    except (RuntimeError, AssertionError):
        return True
    return False


def _leave(where: str, interrupted: str) -> NoReturn:
    """Ends the process after a signal."""
    print(f"stopped by {stopping.name()}{where}; {interrupted}", file=sys.stderr)
    sys.exit(stopping.exit_code())


def _expect_address_space() -> None:
    """Refuses a limit (``ulimit -v``) with which XLA would end or hang without a word.

    Measured: on two cores 2,000,000 kB are too few, 3,000,000 are enough for a small network.

    Raises:
        UserError: there is such a limit.
    """
    try:
        import resource  # not on Windows
    except ImportError:
        return
    found, _ = resource.getrlimit(resource.RLIMIT_AS)
    if found != resource.RLIM_INFINITY and found < _LEAST_ADDRESS_SPACE:
        raise UserError(
            f"the address space is limited to {found // 1024:,} kB (ulimit -v): expected at least"
            f" {_LEAST_ADDRESS_SPACE // 1024:,}; raise the limit or start from another shell"
        )


def fail(error: UserError, code: int, debug: bool) -> NoReturn:
    """Ends the process with a message; with `debug`, raises it."""
    if debug:
        raise error
    print(f"error: {lines(str(error))}", file=sys.stderr)
    sys.exit(code)


def _quiet_libraries() -> None:
    """Keeps routine messages of the libraries off the console; warnings and errors stay."""
    absl_logging.set_verbosity(absl_logging.WARNING)


def _print_any_name() -> None:
    """Lets file names that are not valid UTF-8 be printed to stdout, as to stderr by default."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
