"""The wrong edits of tests/mutations, which are applied by hand, go with the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parent / "mutations"


def test_the_text_of_every_edit_is_found_once():
    listed = subprocess.run([sys.executable, TOOL, "--list"], capture_output=True, text=True)
    assert listed.returncode == 0, listed.stdout + listed.stderr
