"""Which package may import which: the floors of docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "msl_jax"

# From the ground up. A package imports packages of lower floors, and itself; those of one floor do
# not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("runtime",),
    ("data", "models", "training"),
    ("losses", "evaluation"),
    ("methods",),
    ("config",),
    ("runs",),
    ("weights",),
    ("tasks", "convert"),
    ("experiment", "report"),
    ("commands",),
    ("analysis",),
    ("cli",),
)
FLOOR = {package: number for number, floor in enumerate(FLOORS) for package in floor}


class Import(NamedTuple):
    """That a file of one package imports a module of another one."""

    file: Path
    line: int
    module: str


def _imports(file: Path) -> Iterator[Import]:
    """All imports of modules of this package, those within functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute here"
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name if _is_module(name) else node.module or "" for name in named]
        else:
            continue
        for module in modules:
            if module.startswith(f"{PACKAGE.name}."):
                yield Import(file.relative_to(PACKAGE), node.lineno, module)


def _is_module(name: str) -> bool:
    path = PACKAGE.parent / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def test_every_package_has_a_floor():
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert packages == set(FLOOR)
    modules = {path.name for path in PACKAGE.glob("*.py")}
    assert modules == {"__init__.py", "__main__.py"}, (
        "another module at the top belongs into one of the packages"
    )


@pytest.mark.parametrize("package", FLOOR)
def test_no_import_from_a_higher_floor(package: str):
    for file in sorted((PACKAGE / package).rglob("*.py")):
        for found in _imports(file):
            other = found.module.split(".")[1]
            assert other == package or FLOOR[other] < FLOOR[package], (
                f"msl_jax/{found.file}:{found.line} imports {found.module}, but `{package}` (floor"
                f" {FLOOR[package]}) stands on the floors below it, and `{other}` is on floor"
                f" {FLOOR[other]}. Code that needs both belongs to a package above both (floors:"
                f" {', '.join('/'.join(floor) for floor in FLOORS)}); what `{other}` has and both"
                " need belongs below them."
            )


def test_no_circle_of_files():
    """Also within a package, and through imports within functions."""
    graph: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        imported = {found.module for found in _imports(file)}
        graph[name.removesuffix(".__init__")] = imported
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"import circle: {' -> '.join((*way, module))}"
        if module in done or module not in graph:
            return
        for other in sorted(graph[module]):
            visit(other, (*way, module))
        done.add(module)

    for module in graph:
        visit(module, ())
