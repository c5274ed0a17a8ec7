"""Converts weights.

python -m msl_jax.convert INPUT OUTPUT [--head_rates=6,12]
"""

from __future__ import annotations

import argparse
import re

from msl_jax.convert.command import convert
from msl_jax.runtime import command_line


def _rates(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError(f"expected integers like 6,12, found {text!r}")
    return tuple(int(part) for part in text.split(","))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m msl_jax.convert",
        description="Converts weights between PyTorch's files and checkpoints of msl_jax.",
        epilog="INPUT may be weights of torchvision's ResNet-50 or ResNet-101, the DeepLab"
        " initialisation, a checkpoint of the official code, AdaptSegNet or ADVENT (.pth or"
        " .safetensors), a run's workdir (:best, :STEP or :source behind it), or a converted"
        " checkpoint. OUTPUT is a .pth, .pt or .safetensors file, with the names of the official"
        " code or, of a classifier, of torchvision; otherwise a folder, which"
        " --config.init_from and --checkpoint take.",
    )
    parser.add_argument("input", metavar="INPUT")
    parser.add_argument("output", metavar="OUTPUT")
    parser.add_argument(
        "--head_rates",
        type=_rates,
        help="dilations that the heads sum, which cannot be seen in a file: 6,12 (default; official"
        " code and AdaptSegNet) or 6,12,18,24 (ADVENT)",
    )
    choices = ("caffe", "torchvision")
    text = "in place of what is the custom for this kind of file"
    parser.add_argument("--stride_placement", choices=choices, help=text)
    parser.add_argument("--input_convention", choices=choices, help=text)
    return parser.parse_args()


def main() -> None:
    """Runs the command."""
    given = _parse()
    command_line.guard(
        lambda: convert(
            given.input,
            given.output,
            head_rates=given.head_rates,
            stride_placement=given.stride_placement,
            input_convention=given.input_convention,
        ),
        interrupted="nothing was written",
    )


if __name__ == "__main__":
    main()
