"""Tables of the measurements, for docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accelerator.cases import (
    METHODS,
    StepCase,
    all_cases,
    evaluation_cases,
    main_steps,
    step_cases,
)
from benchmarks.accelerator.results import Outcome
from benchmarks.accelerator.sizes import SIZES, Sizes

_COMPILING = ("trace_and_lower_seconds", "compile_seconds")
_PRECISIONS = {"float32": "float32", "tf32": "TF32", "bfloat16": "bfloat16"}
Outcomes = Mapping[str, Outcome]


def tables(outcomes: Outcomes) -> str:
    """All tables that have figures, then what is missing and why.

    Args:
        outcomes: of `results.read`.
    """
    if not outcomes:
        return "Nothing has been measured."
    sizes = SIZES[outcomes["sizes"].result]
    found = _on_one_device({n: o.result for n, o in outcomes.items() if o.problem is None})
    parts = [
        _device(found),
        _steps(found, sizes),
        _compilation(found, sizes),
        _kernels(found, sizes),
        _losses(found, sizes),
        _evaluation(found, sizes),
        _exactness(found),
        _methods(found),
        _real(found),
        _missing(outcomes),
    ]
    return "\n\n".join(part for part in parts if part)


def _device(found: Mapping[str, Any]) -> str:
    if "device" not in found:
        return ""
    device = found["device"]
    names = ("jax", "flax", "optax", "torch")
    versions = ", ".join(f"{n} {device['versions'][n]}" for n in names if device["versions"][n])
    driver = f", driver {device['driver']}" if device["driver"] else ""
    machine = f"{device['device']}, {device['cores']} CPU cores, Python {device['python']}"
    lines = [f"{machine}, {versions}{driver}."]
    if limits := found.get("ceilings"):
        products = ", ".join(
            f"{title} {limits[f'{name}_tflops']:.3g}" for name, title in _PRECISIONS.items()
        )
        lines.append(
            f"What it can do: a large matrix product, TFLOP/s: {products}; a copy,"
            f" {limits['copy_gb_per_second']:,.0f} GB/s read and written."
        )
    return "\n".join(lines)


def _steps(found: Mapping[str, Any], sizes: Sizes) -> str:
    limits = found.get("ceilings", {})
    rows = []
    for case in step_cases(sizes):
        ours = found.get(case.name)
        theirs = found.get(case._replace(side="torch", rematerialize=False).name)
        if ours is None and (theirs is None or case.rematerialize):
            continue
        kernels = found.get(case.kernels)
        share = ""
        if ours and limits:
            tflops = ours["flop"] / ours["seconds"] / 1e12
            share = f"{tflops:.0f} ({100 * tflops / limits[f'{case.precision}_tflops']:.0f} %)"
        compiled = found.get(case._replace(side="torch.compile").name)
        rows.append(
            [
                *_described(case, sizes),
                _step(ours, "program_mb"),
                share,
                _step(theirs, "peak_in_use_mb"),
                _step(compiled, "peak_in_use_mb") if compiled else "",
                _ratio(ours, theirs, "seconds", "seconds"),
                _ratio(kernels, theirs, "seconds", "kernel_seconds"),
                _ratio(ours, theirs, "program_mb", "peak_in_use_mb"),
            ]
        )
    header = [
        *("network", "step", "images", "precision", "here", "TFLOP/s (share of a product's)"),
        *("PyTorch", "torch.compile", "ratio, time", "ratio, kernels", "ratio, memory"),
    ]
    return _titled("Training step", header, rows)


def _described(case: StepCase, sizes: Sizes) -> list[str]:
    work = case.work(sizes)
    images = [work.source_size] + ([work.target_size] if case.part == "adapt" else [])
    precision = _PRECISIONS[case.precision] + (", rematerialised" if case.rematerialize else "")
    step = {"adapt": "adaptation", "source": "source-only"}[case.part]
    return [case.network.name, step, " + ".join(map(_size, images)), precision]


def _step(measured: Mapping[str, Any] | None, memory: str) -> str:
    if measured is None:
        return ""
    megabytes = measured.get(memory)
    images = f"{measured['images_per_second']:.1f} images/s"
    return ", ".join([_seconds(measured), images, *([f"{megabytes:,.0f} MB"] if megabytes else [])])


def _compilation(found: Mapping[str, Any], sizes: Sizes) -> str:
    rows = []
    for case in main_steps(sizes):
        if ours := found.get(case.name):
            warm = [f"{ours[f'warm_{k}']:.1f}" for k in _COMPILING if f"warm_{k}" in ours]
            rows.append(
                [
                    ", ".join(_described(case, sizes)),
                    *(f"{ours[key]:.1f}" for key in _COMPILING),
                    *(warm or ["", ""]),
                ]
            )
    header = [
        "step",
        "trace and lower, s",
        "compile, s",
        "again: trace and lower",
        "from the cache",
    ]
    return _titled("Compilation", header, rows)


def _kernels(found: Mapping[str, Any], sizes: Sizes) -> str:
    rows = []
    for case in main_steps(sizes):
        kernels = found.get(case.kernels)
        theirs = found.get(case._replace(side="torch").name, {}).get("kernel_seconds")
        if kernels:
            shares = ", ".join(
                f"{kind} {100 * share:.0f} %" for kind, share in kernels.get("share", {}).items()
            )
            launches = f"{kernels['launches']:,.0f}" if "launches" in kernels else ""
            rows.append(
                [
                    ", ".join(_described(case, sizes)),
                    f"{1e3 * kernels['seconds']:.1f} ms",
                    launches,
                    shares,
                    f"{1e3 * theirs:.1f} ms" if theirs else "",
                ]
            )
    header = ["step", "here", "launches", "shares of it", "PyTorch"]
    return _titled("Time of a step's kernels", header, rows)


def _losses(found: Mapping[str, Any], sizes: Sizes) -> str:
    columns = {f"tile of {t:,}": found.get(f"losses/tile {t}") for t in sizes.tiles}
    columns |= {"whole image": found.get("losses/whole"), "PyTorch": found.get("losses/torch")}
    measured = {title: figures for title, figures in columns.items() if figures}
    rows = [
        [loss, *(f"{1e3 * figures[loss]['seconds']:.2f}" for figures in measured.values())]
        for loss in (sizes.losses if measured else ())
    ]
    title = f"Losses of up-sampled logits at {_size(sizes.source)}, value and gradient, ms"
    return _titled(title, ["loss", *measured], rows)


def _evaluation(found: Mapping[str, Any], sizes: Sizes) -> str:
    rows = []
    for case in evaluation_cases(sizes, "ours"):
        ours, theirs = found.get(case.name), found.get(case._replace(side="torch").name)
        if ours or theirs:
            cells = [_seconds(side) if side else "" for side in (ours, theirs)]
            ratio = _ratio(ours, theirs, "seconds", "seconds")
            rows.append([_size(case.size), _PRECISIONS[case.precision], *cells, ratio])
    header = ["image", "precision", "here", "PyTorch", "ratio, time"]
    return _titled("Evaluation of an image", header, rows)


def _exactness(found: Mapping[str, Any]) -> str:
    figures: dict[tuple[str, str], dict[str, Any]] = {}
    for name, result in found.items():
        if name.startswith("exactness/"):
            for figure in result:
                key = figure["golden"], figure["kind"]
                figures.setdefault(key, {"bound": figure["bound"]})[name.split("/")[2]] = figure
    rows = [
        [
            *key,
            *(_error(row[p], p) if p in row else "" for p in ("float32", "tf32")),
            f"{row['bound']:.1e}",
        ]
        for key, row in figures.items()
    ]
    header = ["golden", "compared", "float32", "TF32", "bound of float32"]
    return _titled("Errors against golden values of the official code", header, rows)


def _error(figure: Mapping[str, Any], precision: str) -> str:
    """The error, in bold if it exceeds its bound; only float32 has one."""
    error = f"{figure['error']:.1e}"
    return error if figure["within"] or precision == "tf32" else f"**{error}**"


def _methods(found: Mapping[str, Any]) -> str:
    measured = {
        name: figures for name in METHODS if (figures := found.get(f"methods/{name}")) is not None
    }
    reference = measured.get("max_square")

    def compared(name: str, key: str, form: str, unit: float) -> list[str]:
        value = measured[name][key]
        return [
            format(unit * value, form),
            f"{value / reference[key]:.2f}" if reference else "",
        ]

    rows = [
        [
            f"`{name}`",
            *compared(name, "seconds", ".1f", 1e3),
            *compared(name, "program_mb", ",.0f", 1.0),
        ]
        for name in measured
    ]
    title = (
        "Methods: adaptation step of the light network in TF32 (on a CPU float32), both images of"
        " the small size"
    )
    heading = ["variant", "ms", "relative to `max_square`", "memory in MB", "relative"]
    return _titled(title, heading, rows)


def _real(found: Mapping[str, Any]) -> str:
    lines = []
    if figures := found.get("input"):
        lines.append(
            f"Input: a training step takes {1e3 * figures['training_seconds']:.1f} ms with its"
            f" images from the pipeline and {1e3 * figures['step_seconds']:.1f} ms without"
            f" ({100 * figures['share']:.0f} % are waited for); the pipeline alone needs"
            f" {1e3 * figures['pipeline_seconds']:.1f} ms."
        )
    for name, figures in found.items():
        if name.startswith("training/"):
            results = figures["results"]
            before, after = (
                100 * results[stage]["target"]["miou"] for stage in ("source_only", "final")
            )
            lines.append(
                f"`train.py --config {figures['config']}`: {figures['total_seconds']:.0f} s; mIoU"
                f" of the target {before:.1f} -> {after:.1f} %."
            )
    return "\n".join(lines)


def _missing(outcomes: Outcomes) -> str:
    nowhere = Path()  # what is missing does not depend on folders
    cases = all_cases(outcomes["sizes"].result, cache=nowhere, goldens=nowhere, camvid=nowhere)
    lines = []
    for case in cases:
        outcome = outcomes.get(case.name)
        if outcome is None:
            lines.append(f"- {case.name}: not run yet")
        elif outcome.problem is not None:
            lines.append(f"- {case.name}: {outcome.problem}")
    return "\n".join(["Not measured:", "", *lines]) if lines else ""


def _titled(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    used = [i for i in range(len(header)) if any(row[i] for row in rows)]
    lines = [[header[i] for i in used], ["---"] * len(used), *([r[i] for i in used] for r in rows)]
    return "\n".join([f"**{title}**", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _seconds(measured: Mapping[str, Any]) -> str:
    low, high = measured["spread"]
    median = measured["seconds"]
    return f"{1e3 * median:.1f} ms ({1e3 * low:.1f} to {1e3 * high:.1f})"


def _on_one_device(outcomes: Mapping[str, Any]) -> dict[str, Any]:
    """Without PyTorch's figures if only one of the sides ran on a CPU."""
    ours_on_cpu = outcomes.get("device", {}).get("platform") == "cpu"

    def fits(name: str, result: Any) -> bool:
        if name == "losses/torch":
            return all(fits("", of_loss) for of_loss in result.values())
        is_torch = isinstance(result, dict) and "first_seconds" in result
        return not is_torch or (result["device"] == "cpu") == ours_on_cpu

    return {name: result for name, result in outcomes.items() if fits(name, result)}


def _ratio(
    ours: Mapping[str, Any] | None, theirs: Mapping[str, Any] | None, key: str, of_torch: str
) -> str:
    if ours is None or theirs is None or not theirs.get(of_torch):
        return ""
    return f"{ours[key] / theirs[of_torch]:.2f}"


def _size(size: Sequence[int]) -> str:
    """`(720, 1280)` -> `1280x720`."""
    return f"{size[1]}x{size[0]}"
