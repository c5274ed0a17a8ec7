"""The command for a machine with a GPU, on a CPU with tiny sizes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from benchmarks.accelerator import kernels, loss_layer, steps
from benchmarks.accelerator.__main__ import main
from benchmarks.accelerator.cases import all_cases
from benchmarks.accelerator.markdown import tables
from benchmarks.accelerator.results import FILE, Outcome, read
from benchmarks.accelerator.sizes import SIZES
from benchmarks.losses import LOSSES, inputs
from benchmarks.support import our_losses, our_steps
from benchmarks.support.work import TrainingWork
from msl_jax.methods.variants import VARIANTS

ROOT = Path(__file__).parents[2]
SOURCE_STEP = "step/tiny (14 layers, width 4)/source/small/tf32/ours"
SOME = ["device", "ceilings", "losses/tile 100000", SOURCE_STEP]
FIRST = ("device", "exactness/losses", "step", "losses", "training", "evaluation", "methods")


def _names(sizes: str) -> list[str]:
    nowhere = Path("nowhere")
    return [case.name for case in all_cases(sizes, cache=nowhere, goldens=nowhere, camvid=nowhere)]


@pytest.mark.parametrize("sizes", SIZES)
def test_names_of_cases_are_unique_and_the_device_comes_first(sizes):
    names = _names(sizes)
    assert len(set(names)) == len(names)
    assert names[0] == "device"
    first = [next(i for i, n in enumerate(names) if n.startswith(p)) for p in FIRST]
    assert first == sorted(first)


def test_an_interrupted_run_is_readable_and_continues(tmp_path, capsys):
    """Killed as soon as it has one case; the same command only runs the others."""
    command = [
        *(sys.executable, "-m", "benchmarks.accelerator", "--sizes=small", f"--output={tmp_path}"),
        *("--minutes=5", "--only", *SOME),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 120
    while len(read(tmp_path)) < 3 and time.monotonic() < end:  # sizes, device, one more
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = read(tmp_path)
    assert {"sizes", "device"} <= set(before)
    assert before["device"].result["platform"] == "cpu"

    assert main(command[3:]) == 0
    after = read(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(after) == {"sizes", *SOME}
    assert all(outcome.problem is None for outcome in after.values())
    step = after[SOURCE_STEP].result
    low, high = step["spread"]
    assert 0 < low <= step["seconds"] <= high
    assert step["program_mb"] > step["temporaries_mb"] > 0
    assert f"4 of {len(_names('small'))} cases" in capsys.readouterr().out
    assert len({outcome.revision for outcome in after.values()}) == 1
    page = (tmp_path / "results.md").read_text()
    assert "source-only | 32x16 | TF32" in page
    assert "- training/camvid_scratch: not run yet" in page
    assert main(["--output", str(tmp_path), "--markdown"]) == 0
    assert capsys.readouterr().out.strip() == page.strip()
    # A folder does not mix sizes, nor figures of different machines.
    lines = (tmp_path / FILE).read_text()
    assert main(["--output", str(tmp_path), "--sizes=paper"]) == 2
    assert (tmp_path / FILE).read_text() == lines
    (tmp_path / FILE).write_text(lines.replace('"device": "cpu"', '"device": "another"'))
    assert main([*command[3:], "--only", "input"]) == 2
    assert "of another machine: device another, here cpu" in capsys.readouterr().err


def test_the_papers_sizes_are_refused_on_a_cpu(tmp_path, capsys):
    assert main(["--output", str(tmp_path / "new")]) == 2
    assert "no accelerator here" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main(["--output", str(tmp_path / "new"), "--only", "methods", "losses"]) == 2
    # The methods' light network may be measured; here there is no time for it.
    assert main(["--output", str(tmp_path / "new"), "--only", "methods", "--minutes", "0"]) == 0


def test_tables_of_nothing(tmp_path, capsys):
    assert main(["--output", str(tmp_path), "--markdown"]) == 0
    assert capsys.readouterr().out == "Nothing has been measured.\n"


def test_floating_point_operations_by_hand():
    """A network of 14 layers at 16x32: kernel size times output size of each convolution."""
    width, classes, aspp = 4, 19, 2
    stem = 8 * 16 * 7 * 7 * 3 * width
    per_stage, inputs = [], width
    for stage, (rows, columns) in enumerate([(5, 9), (3, 5), (3, 5), (3, 5)]):
        inner = width * 2**stage
        cells = rows * columns
        kernels_ = inputs * inner + 9 * inner * inner + inner * 4 * inner + inputs * 4 * inner
        per_stage.append(cells * kernels_)
        inputs = 4 * inner
    final = aspp * 15 * 9 * 32 * width * classes
    low = aspp * 15 * 9 * 16 * width * classes
    blocks = sum(per_stage)
    source = 2 * (2 * stem + 3 * (blocks + final))
    adapt = 2 * 2 * (2 * stem + 3 * (blocks + final + low))
    work = TrainingWork("source", (16, 32), (16, 32), depth=14, width=width)
    assert steps.flop_of_step(work) == source
    work = TrainingWork("adapt", (16, 32), (16, 32), depth=14, width=width)
    assert steps.flop_of_step(work) == adapt


def test_every_adapting_variant_is_among_the_methods():
    nowhere = Path("nowhere")
    cases = all_cases("small", cache=nowhere, goldens=nowhere, camvid=nowhere)
    methods = {c.name: c.arguments for c in cases if c.name.startswith("methods/")}
    assert {name: fields["variant"] for name, fields in methods.items()} == {
        f"methods/{name}": name for name, variant in VARIANTS.items() if variant.adapt
    }
    for fields in methods.values():  # mixed images need one size, and then all are compared at it
        assert fields["source_size"] == fields["target_size"]
    json.dumps([case.arguments for case in cases])


@pytest.mark.parametrize(
    "variant",
    ["minent", "advent", "minent_advent", "self_training_multi", "crst_mrkld", "crst_lrent"],
)
def test_step_of_a_method_is_that_of_its_variant(variant: str):
    """Discriminators and all, as training builds it."""
    work = TrainingWork("adapt", (16, 32), (16, 32), depth=14, width=4, variant=variant)
    built = our_steps.build(work)
    assert ("discriminator" in built.state.params) == (variant == "advent")
    _, metrics = jax.eval_shape(built.function, built.state, built.batch)
    names = {
        "minent": {"source/final", "target/final"},
        "minent_advent": {"source/low", "target/entropy_low"},
        "advent": {"source/low", "target/adversarial_low", "target/discriminator_final"},
        "self_training_multi": {"source/low", "mixed/final", "mixed/low"},
        "crst_mrkld": {"source/final", "target/final", "target/kld"},
        "crst_lrent": {"source/final", "target/final"},
    }
    assert names[variant] <= set(metrics)


@pytest.mark.parametrize(
    ("name", "operation", "expected"),
    [
        ("sm90_xmma_fprop_x", "", "convolution"),
        ("loop_add_fusion_12", "loop_add_fusion.12", "batch norm, ReLU, pool"),
        ("whatever", "convolution.1", "convolution"),
        ("while_body", "fusion.7", "losses"),
    ],
)
def test_kinds_of_kernels(name, operation, expected):
    paths = {
        "loop_add_fusion.12": "jit(step)/jvp(DeepLabV2)/backbone/layer1_0/bn1/add",
        "convolution.1": "jit(step)/jvp(DeepLabV2)/conv1/conv_general_dilated",
        "fusion.7": "jit(step)/while/body/exp",
    }
    assert kernels.kind_of(kernels.Kernel(name, operation, 1.0, 1.0), paths) == expected


def test_tables_of_a_gpu_with_what_is_missing():
    measured = {
        **{
            "seconds": 0.05,
            "spread": [0.04, 0.06],
            "images_per_second": 40.0,
            "program_mb": 7000.0,
        },
        **{"flop": 6e12, "trace_and_lower_seconds": 5.0, "compile_seconds": 60.0},
    }
    theirs = {
        **{"seconds": 0.1, "spread": [0.09, 0.2], "images_per_second": 20.0, "first_seconds": 1.0},
        **{"peak_in_use_mb": 8000.0, "device": "a GPU", "kernel_seconds": 0.08},
    }
    on_cpu = {**theirs, "device": "cpu"}
    figure = {"golden": "loss", "kind": "loss", "error": 1.0, "bound": 1e-5, "within": False}
    kernels_of_step = {"seconds": 0.04, "launches": 3000.0, "share": {"convolution": 0.5}}
    name = "step/ResNet-101/adapt/full/tf32/"
    limits = {f"{p}_tflops": 400.0 for p in ("float32", "tf32", "bfloat16")}
    outcomes = {
        "sizes": Outcome("sizes", "paper", None, 0.0),
        "ceilings": Outcome("ceilings", {**limits, "copy_gb_per_second": 2e3}, None, 1.0),
        f"{name}ours": Outcome(f"{name}ours", measured, None, 1.0),
        f"{name}torch": Outcome(f"{name}torch", theirs, None, 1.0),
        "input": Outcome("input", None, "ModuleNotFoundError: no grain", 1.0),
        "kernels/ResNet-101/adapt/full/tf32": Outcome("kernels", kernels_of_step, None, 1.0),
        "exactness/losses/float32": Outcome("exactness", [figure], None, 1.0),
        "methods/max_square": Outcome("methods", measured, None, 1.0),
        "step/ResNet-101/adapt/full/bfloat16/torch": Outcome("torch", on_cpu, None, 1.0),
        "losses/torch": Outcome("losses", {"ce": on_cpu}, None, 1.0),
    }
    page = tables(outcomes)
    assert (
        "| ResNet-101 | adaptation | 1280x720 + 1024x512 | TF32 | 50.0 ms (40.0 to 60.0),"
        " 40.0 images/s, 7,000 MB | 120 (30 %) | 100.0 ms (90.0 to 200.0), 20.0 images/s, 8,000 MB"
        " | 0.50 | 0.50 | 0.88 |"
    ) in page
    assert "| 40.0 ms | 3,000 | convolution 50 % | 80.0 ms |" in page
    assert "| **1.0e+00** | 1.0e-05 |" in page
    assert "| `max_square` | 50.0 | 1.00 | 7,000 | 1.00 |" in page
    assert "bfloat16 |" not in page  # measured on another device
    assert "- input: ModuleNotFoundError: no grain" in page
    assert "- methods/minent: not run yet" in page


def test_cost_of_the_losses_and_shares_of_kernels():
    layer = {"seconds": 0.0, "size": [24, 40], "names": list(LOSSES)}
    for found in (loss_layer.tiled(**layer, tile=2000), loss_layer.whole(**layer)):
        assert found.keys() == set(LOSSES)
        assert all(m["rounds"] == 3 and m["temporaries_mb"] > 0 for m in found.values())
    found = kernels.shares(jax.jit(lambda: jax.numpy.ones(8).sum()).lower().compile(), "")
    assert found["seconds"] >= 0


def test_losses_of_whole_images_equal_those_by_tiles():
    for name in LOSSES:
        final, low, labels = inputs((24, 40))
        heads = (final, low) if name == "guidance" else (final,)
        tiled = our_losses.of_heads(name, heads, labels)
        assert loss_layer._loss(name, heads, labels) == pytest.approx(float(tiled), rel=1e-5)


def test_pytorchs_side():
    pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")
    from benchmarks.accelerator import torch_side

    work = TrainingWork("adapt", (16, 32), (16, 24), depth=14, width=4, precision="bfloat16")
    found = torch_side.step(seconds=0.0, compiled=False, **work.as_json())
    assert found["device"] == "cpu"
    assert found["images_per_second"] == 2 / found["seconds"]
    evaluated = torch_side.evaluation(
        seconds=0.0, size=[16, 32], depth=14, width=4, precision="tf32"
    )
    assert evaluated["rounds"] == 3
    assert torch_side.losses(seconds=0.0, size=[16, 32], names=["ce"])["ce"]["seconds"] > 0


def test_precisions_are_those_of_the_program():
    """Float32 requests full precision, TF32 leaves it to the backend, bfloat16 computes in it."""

    def program(precision: str) -> str:
        work = TrainingWork("source", (16, 32), depth=14, width=4, precision=precision)
        function, state, batch = our_steps.build(work)
        with our_steps.matmul_precision(work.precision):
            return function.lower(state, batch).as_text()

    exact, default, half = map(program, ("float32", "tf32", "bfloat16"))
    convolutions = [
        [line for line in text.splitlines() if "stablehlo.convolution" in line]
        for text in (exact, default, half)
    ]
    assert all("HIGHEST" in line for line in convolutions[0])
    assert not any("HIGHEST" in line for line in convolutions[1])
    assert all("bf16" in line for line in convolutions[2])
    assert not any("bf16" in line for line in convolutions[1])
