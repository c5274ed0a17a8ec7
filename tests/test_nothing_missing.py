"""Where nothing may be missing, a skipped test fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = {
    "in_a_test": 'def test(): pytest.skip("no browser is here")',
    "by_a_mark": '@pytest.mark.skipif(True, reason="no browser is here")\ndef test(): pass',
    "as_a_file": 'pytest.importorskip("no_such_package", reason="no browser is here")',
    "of_the_machine": 'def test(): pytest.skip("root may read everything")',
    "expected": '@pytest.mark.xfail(reason="known")\ndef test(): assert False',
}


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("skipped")
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, code in SKIPPED.items():
        (folder / f"test_{name}.py").write_text(f"import pytest\n{code}\n")
    return folder


@pytest.mark.parametrize("complete", [False, True])
def test_what_fails(tests: Path, complete: bool) -> None:
    command = "-m pytest -q -p nothing_missing -p no:cacheprovider --continue-on-collection-errors"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=tests,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "PYTEST_ADDOPTS": "",
            "MSL_JAX_FAIL_ON_SKIP": "1" if complete else "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    summary = done.stdout.splitlines()[-1]
    if complete:
        assert "1 failed, 1 skipped, 1 xfailed, 2 errors" in summary
        assert done.stdout.count("says that nothing is missing: no browser is here") >= 3
    else:
        assert "4 skipped, 1 xfailed" in summary
        assert done.returncode == 0
