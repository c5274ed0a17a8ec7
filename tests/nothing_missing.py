"""Makes a skipped test a failure where MSL_JAX_FAIL_ON_SKIP=1 is set, as in .ci/run.

Elsewhere a test whose package, browser or data are not there is skipped and says so. In continuous
integration all of them are installed: what is missing there is a fault, not a reason.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

VARIABLE = "MSL_JAX_FAIL_ON_SKIP"
# Beginnings of the reasons that nothing one could install removes.
OF_THE_MACHINE = (
    "long: ",
    "no file system can be mounted",
    "root may read everything",
    "there is no /proc",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """A test that is skipped."""
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    """A file that is skipped as a whole."""
    return _judged((yield))


def _judged(report: Any) -> Any:
    expected_to_fail = hasattr(report, "wasxfail")
    if os.environ.get(VARIABLE) == "1" and report.skipped and not expected_to_fail:
        _, _, message = report.longrepr
        reason = message.removeprefix("Skipped: ")
        if not reason.startswith(OF_THE_MACHINE):
            report.outcome = "failed"
            report.longrepr = f"skipped, though {VARIABLE}=1 says that nothing is missing: {reason}"
    return report
