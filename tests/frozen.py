"""Results that a rebuilding must not move: made anew and compared, to the last bit.

    python tests/frozen.py --write results.json     before
    python tests/frozen.py --compare results.json   after, on the same machine

Runs, from the root of the project: the demo with seed 0, the digits (max_square and dann), a shrunk
GTA5 with `preset=official` (max_square_iw_multi, on files made here), each by `train.py`; and all
parity figures where golden values are (`--goldens`). Prints what differs; exit status 1 if anything
does. Numbers of threads must be the same. Takes about twenty minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trees import write_cityscapes, write_gta5

ROOT = Path(__file__).parents[1]
GOLDENS = ROOT.parent / "shared" / "goldens"


def runs(data: Path) -> dict[str, list[str]]:
    """Arguments of `train.py` by the name of the run.

    Args:
        data: folder for the files that are made.
    """
    source = write_gta5(data / "gta5", [1, 2, 3, 22, 23])  # three of train, two of val
    target = write_cityscapes(data / "cityscapes")
    return {
        "demo": ["--config=configs/demo.py"],
        "digits max_square": ["--config=configs/digits.py:max_square"],
        "digits dann": ["--config=configs/digits.py:dann"],
        "gta5 shrunk, official": [
            "--config=configs/gta5.py:max_square_iw_multi",
            "--config.preset=official",
            "--config.shrink",
            "--config.guidance_threshold=0.2",  # a shrunk network is sure of nothing
            f"--config.source_root={source}",
            f"--config.target_root={target}",
        ],
    }


def results(goldens: Path) -> dict[str, Any]:
    """Makes all of them."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in runs(Path(folder) / "data").items():
            workdir = Path(folder) / "runs" / name.replace(" ", "_").replace(",", "")
            _call("train.py", *arguments, f"--workdir={workdir}", f"--config.records_dir={folder}")
            found[name] = json.loads((workdir / "results.json").read_text())
            print(f"{name}: done", file=sys.stderr, flush=True)
    if goldens.is_dir():
        printed = _call("-m", "benchmarks.parity", f"--goldens={goldens}")
        found["parity"] = json.loads(printed)["figures"]
    else:
        print(f"no golden values in {goldens}: without parity figures", file=sys.stderr)
    return found


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Where two trees of JSON differ, each with both values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            inner = f"{place}/{key}"
            if key in before and key in after:
                yield from differences(before[key], after[key], inner)
            else:
                yield f"{inner}: only {'before' if key in before else 'after'}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, f"{place}/{index}")
    elif before != after:
        yield f"{place}: {before} -> {after}"


def _call(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def main() -> int:
    """Runs everything; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python tests/frozen.py", description=__doc__)
    parser.add_argument("--goldens", type=Path, default=GOLDENS)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=Path, metavar="FILE")
    action.add_argument("--compare", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = results(options.goldens)
    if options.write:
        options.write.write_text(json.dumps(found, indent=1) + "\n")
        return 0
    different = list(differences(json.loads(options.compare.read_text()), found))
    print("\n".join(different) or "nothing differs")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
