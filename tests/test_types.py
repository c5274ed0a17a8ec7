"""What type checkers know of the package: its public names, and no others."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import msl_jax

ROOT = Path(__file__).parents[1]
PROGRAM = """
import msl_jax

class Adapter:
    input_convention = None
    def apply(self, variables: dict, images: object, *, train: bool) -> tuple:
        return ()

objective = msl_jax.Objective(target_loss=3)
msl_jax.segmentation.passes(Adapter(), objective, adapt=True)
msl_jax.segmentation.passes("no network", objective, adapt=True)
msl_jax.losses.max_sqare
msl_jax.trane_step
"""
EXPECTED = (
    'Argument "target_loss" to "Objective" has incompatible type "int"; expected "str"',
    'Argument 1 to "passes" has incompatible type "str"; expected "Network"',
    'Module has no attribute "max_sqare"; maybe "max_square"?',
    'Module has no attribute "trane_step"',
)


def test_types_are_those_of_the_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads what the program needs alone, which takes two seconds instead of a minute."""
    api = pytest.importorskip("mypy.api", reason="mypy (extra: dev) is missing")
    monkeypatch.chdir(ROOT)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    read = ("__init__", "losses/__init__", "methods/segmentation", "models/inputs")
    options = ("--config-file=pyproject.toml", "--follow-imports=skip", "--cache-dir=/dev/null")
    found, errors, _ = api.run(
        [*options, *(f"msl_jax/{name}.py" for name in read), str(program)],
    )
    assert not errors
    lines = [line for line in found.splitlines() if line.startswith(str(program))]
    assert len(lines) == len(EXPECTED), found
    for line, expected in zip(lines, EXPECTED, strict=True):
        assert expected in line


def test_names_for_type_checkers_are_those_at_run_time() -> None:
    known, tree = {}, ast.parse(Path(msl_jax.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        (name,) = node.names
        assert name.asname == name.name, "or --strict does not count it as a name of the package"
        known[name.name] = node.module
    for name, module in msl_jax.MODULES.items():
        whole = f"msl_jax.{module}"
        assert known.pop(name) == whole.removesuffix(f".{name}")
    assert not known
