"""The flags that train.py, eval.py and predict.py have in common: `--config` and its keys."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from msl_jax.runtime import command_line, configs
from msl_jax.runtime.errors import UserError

FLAGS = flags.FLAGS

# What the path of a checkpoint may be, for the help of flags.
PATH_HELP = (
    "WORKDIR[:best|:STEP|:source], a checkpoint's folder such as WORKDIR/adapt/20, a converted"
    " checkpoint, or a .pth or .safetensors file; PATH,PATH: mean of their logits"
)

_CONFIG_HELP = (
    "a name that msl-jax list configurations shows, or the path of a file of your own; default"
    f" {configs.DEFAULT}"
)
_KEY_HELP = "sets a key; msl-jax list keys shows them all, with defaults and valid values"


def usage(about: str, script: str, arguments: str) -> str:
    """The head of a command's help, as it was called: by its script or by `msl-jax`."""
    return f"{about}\n\n{command_line.program(f'python {script}')} {arguments}"


def define_config() -> Any:
    """Defines `--config` and, with it, a flag for each key."""
    try:
        return config_flags.DEFINE_config_file("config", None, _CONFIG_HELP)
    except flags.Error as error:  # ml_collections reads a --flagfile here already
        command_line.fail(
            _UsageError(f"command line: {error}"), command_line.EXIT_USAGE, debug=False
        )


def overrides() -> dict[str, Any]:
    """Keys that were set by `--config.KEY=VALUE`, with their parsed values."""
    values = {}
    for name in FLAGS:
        if name.startswith("config.") and FLAGS[name].present:
            values[name.removeprefix("config.")] = FLAGS[name].value
    return values


def run(
    command: Callable[[], object],
    usage: str,
    interrupted: str,
    described: Sequence[flags.FlagHolder[Any]] = (),
    more: Callable[[], str] = str,
) -> None:
    """Parses the command line, runs `command` and exits.

    A `UserError` is printed as one message and exits with code 1, a wrong command line with code 2;
    neither shows a traceback unless `--config.debug=true` asks for it. After SIGTERM or Ctrl-C the
    text `interrupted` says what to do. `--help` prints the usage, the `described` flags and `more`.
    """
    script = Path(sys.argv[0])
    if script.suffix == ".py":
        command_line.note_other_copy(script.parent)
    wanted = ("config.debug", "config.debug=true", "config.debug=1", "config.debug=t")
    debug = any(arg.lower().lstrip("-") in wanted for arg in sys.argv[1:])

    def parse_and_run() -> None:
        if command_line.HELP & set(sys.argv[1:]):
            print(f"{usage.strip()}\n\n{_help(described)}{more()}")
            return
        try:
            _parse(sys.argv)
        except _UsageError as error:
            explained = UserError(f"{error}\n\n{usage.strip()}")
            command_line.fail(explained, command_line.EXIT_USAGE, debug)
        from msl_jax.runtime.compilation_cache import keep_compiled_programs  # imports JAX

        keep_compiled_programs()
        command()

    command_line.guard(parse_and_run, interrupted, debug)


def _help(described: Sequence[flags.FlagHolder[Any]]) -> str:
    """The flags, on 80 columns."""
    helps = {"config=NAME[:VARIANT]": _CONFIG_HELP, "config.KEY=VALUE": _KEY_HELP}
    helps |= {flag.name: FLAGS[flag.name].help or "" for flag in described}
    filled = (f"  --{name}\n{_filled(text)}\n" for name, text in helps.items())
    return "".join(filled)


def _parse(argv: list[str]) -> None:
    """Parses flags; what absl and ml_collections raise becomes a `_UsageError`."""
    argv, given = _with_config([argv[0], *FLAGS.read_flags_from_files(argv[1:], force_gnu=False)])
    file = Path(configs.found(given).partition(":")[0])
    try:
        if file.exists() and not file.is_file():  # reading a named pipe would wait for ever
            raise OSError(f"{file} is not a regular file")
        remaining = _read(argv, str(file))
    except OSError as error:
        raise _UsageError(
            f"--config={given}: cannot be read; expected a file NAME.py[:VARIANT] of your own, or"
            f" one of {', '.join(configs.configurations())}"
        ) from error
    except (AttributeError, KeyError) as error:
        from msl_jax.cli.near_keys import unknown_key  # imports JAX, as configurations do

        raise _UsageError(unknown_key(str(error), argv)) from error
    except flags.UnrecognizedFlagError as error:
        from msl_jax.cli.near_keys import near_keys

        near = [f"--config.{key}" for key in near_keys(error.flagname)]
        hint = f"; keys of the configuration: {', '.join(near)}" if near else ""
        raise _UsageError(f"command line: {error}{hint}") from error
    except (flags.Error, TypeError, ValueError) as error:
        raise _UsageError(_explained(str(error), argv)) from error
    if len(remaining) > 1:
        known = configs.found(remaining[1]) != remaining[1]
        hint = f"; did you mean --config={remaining[1]}?" if known else ""
        raise _UsageError(f"command line: unexpected argument {remaining[1]!r}{hint}")


def _filled(text: str) -> str:
    words = " ".join(text.split())  # absl adds what it says of its kinds of flags by itself
    return textwrap.fill(words, 79, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _explained(error: str, argv: list[str]) -> str:
    """What absl or ml_collections says of an argument, in words of this program where needed."""
    if group := re.search(r"--config\.(\w+)=(.*): Failed to parse .* as a ConfigDict", error):
        name, value = group.groups()
        chosen = "; a method is chosen by its variant, --config NAME:VARIANT" * (name == "method")
        return (
            f"--config.{name}={value}: {name} is a group of keys, set as"
            f" --config.{name}.KEY=VALUE{chosen}. All keys: msl-jax list keys"
        )
    if word := re.match(r"Could not parse '([\w.]+)': SyntaxError", error):  # a keyword of Python
        from msl_jax.cli.near_keys import unknown_key  # imports JAX

        return unknown_key(word[1], argv)
    if missing := re.findall(r"Flag --(\w+) must have a value other than None", error):
        return f"command line: --{', --'.join(missing)}: missing"
    return f"command line: {error}"


def _read(argv: list[str], file: str) -> list[str]:
    """What absl leaves of the arguments.

    Raises:
        UserError: what the configuration's file does has failed; says where.
    """
    try:
        remaining = FLAGS(argv)
        _ = FLAGS.config.name  # an unreadable file is only reported at its first use
    except UserError:
        raise
    except Exception as error:
        if explained := _inside(file, error):
            raise UserError(explained) from error
        raise
    return remaining


def _inside(file: str, error: BaseException) -> str:
    """A message for an error that began in a file, among those it led to; else empty."""
    called = False
    while True:
        if isinstance(error, SyntaxError) and _same(error.filename, file):
            return f"{file}, line {error.lineno}: SyntaxError: {error.msg}"
        frames = traceback.extract_tb(error.__traceback__)
        if found := [frame.lineno for frame in frames if _same(frame.filename, file)]:
            return f"{file}, line {found[-1]}: {_told(error)}"
        called |= "Error whilst parsing config file" in str(error)  # as ml_collections says it
        if (before := error.__cause__ or error.__context__) is None:
            break
        error = before
    if called:  # such as a get_config that takes no variant
        return f"{file}: {_told(error)}"
    # Of a file that was not found, ml_collections keeps no more than the text.
    last_line = str(error).splitlines()[-1:]
    here = isinstance(error, OSError) and Path(file).is_file()
    return f"{file}: {last_line[0].strip()}" if here and last_line else ""


def _told(error: BaseException) -> str:
    """Type and text of an error, without the whole configuration that ml_collections may add."""
    text = re.sub(r' Other fields present: .*\}"(\\n|\n)?', " ", str(error), flags=re.DOTALL)
    return f"{type(error).__name__}: {text}"


def _same(found: str | None, file: str) -> bool:
    return found is not None and os.path.abspath(found) == os.path.abspath(file)


def _with_config(argv: list[str]) -> tuple[list[str], str]:
    """The arguments with the path of `--config`, which may be a name, and what was given."""
    changed, given = [*argv], None
    for index, arg in enumerate(argv):
        name, equals, value = arg.lstrip("-").partition("=")
        if not (arg.startswith("-") and name == "config"):
            continue
        if equals:
            given = value
            changed[index] = f"--config={configs.found(value)}"
        elif index + 1 < len(argv):
            given = argv[index + 1]
            changed[index + 1] = configs.found(given)
    if given is None:
        # Not as the flag's default, which would be read when the flag is defined.
        changed.insert(1, f"--config={configs.found(configs.DEFAULT)}")
    return changed, given or configs.DEFAULT


class _UsageError(UserError):
    """The command line itself is wrong."""
