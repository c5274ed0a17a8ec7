"""Examples made of numbers, and functions, that other processes can import."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from msl_jax.data.datasets.dataset import Kind
from msl_jax.data.label_sets import LABEL_SETS
from msl_jax.runtime.errors import UserError


@dataclass(frozen=True)
class Made:
    """An example made from a number; reading it takes `delay` and leaves a line in the file `log`.

    Reading ends in a `fault`: "user" for an error of the user's, "bug" for one of the program's,
    "kill" for the end of the process, "kill once" where it has not been read before.
    """

    number: int
    labelled: bool = True
    fault: str = ""
    log: Path | None = None
    delay: float = 0

    @property
    def key(self) -> str:
        return f"made {self.number}"

    def read(self) -> tuple[np.ndarray, np.ndarray | None]:
        before = numbers_read(self.log)
        if self.log:
            with self.log.open("a") as file:
                file.write(f"{self.number}\n")
        time.sleep(self.delay)
        if self.fault == "user":
            raise UserError(f"{self.key} is bad")
        if self.fault == "bug":
            raise ZeroDivisionError(f"{self.key} is a bug")
        if self.fault == "kill" or (self.fault == "kill once" and self.number not in before):
            os.kill(os.getpid(), signal.SIGKILL)
        label = np.full((6, 8), self.number % 10, np.uint8) if self.labelled else None
        return np.full((6, 8, 3), self.number, np.uint8), label


@dataclass(frozen=True)
class Numbers:
    """A data set of given examples."""

    made: tuple[Made, ...]
    name: str = "numbers"
    fingerprint: str = "0"
    splits: tuple[str, ...] = ("some",)
    kind: Kind = "pixels"
    label_set = LABEL_SETS["demo"]

    def examples(self, split: str, *, missing_ok: bool = False) -> tuple[Made, ...]:
        return self.made

    def expect_encoding(self, split: str) -> None:
        pass


def numbers_read(log: Path | None) -> list[int]:
    """Numbers of the examples that were read, in the order of the file."""
    return [int(line) for line in log.read_text().split()] if log and log.exists() else []


def double_slowly(number: int) -> int:
    time.sleep(0.03 / (1 + number))  # later ones overtake
    return 2 * number


def fail_at_two(number: int) -> int:
    return number // (2 - number)


def end_at_two(number: int) -> int:
    if number == 2:
        os._exit(3)
    return number


def sleep_long(number: int) -> None:
    time.sleep(600)


def print_and_warn(number: int) -> int:
    print("to stdout")
    return number


def loaded_modules(_: int) -> set[str]:
    return set(sys.modules)
