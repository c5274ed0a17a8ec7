"""Tables of what has been measured, for docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Mapping

from benchmarks.accelerator.results import Outcome


def tables(outcomes: Mapping[str, Outcome]) -> str:
    """TODO."""
    return "\n".join(
        f"{name}: {json.dumps(o.result)[:300] if o.problem is None else o.problem[-300:]}"
        for name, o in outcomes.items()
    )
