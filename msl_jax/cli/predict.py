"""`msl-jax predict` and `python predict.py`."""

from __future__ import annotations

from absl import flags as absl_flags

from msl_jax.cli import flags
from msl_jax.runtime import extras
from msl_jax.runtime.errors import UserError

_ABOUT = "Segments or classifies ordinary photos with a trained network."
_ARGUMENTS = """--checkpoint PATH[,PATH ...] --output DIR
    --input PHOTO_FOLDER_OR_VIDEO [--input ...]
    [--write KIND,KIND ...] [--opacity 0.5]
    [--label_ids train|classes|cityscapes] [--window HEIGHT,WIDTH]
    [--every N] [--config ...] [--config.KEY=VALUE ...]

Keys that matter here: photo_size (shorter, longer: that side is as in
target_size, and photos keep their proportions; target: they are squeezed to
it; own: as they are), eval_batch_size (photos in the network at a time), flip
and scales, on_bad_example=skip (leave out photos that cannot be read)."""


def main() -> None:
    """Runs the command."""
    from msl_jax.tasks.photos import DEFAULT_KINDS, KINDS, PhotoOptions

    config = flags.define_config()
    checkpoint = absl_flags.DEFINE_string("checkpoint", None, flags.PATH_HELP, required=True)
    given = absl_flags.DEFINE_multi_string(
        "input",
        None,
        f"a photo, a folder of photos, or a video ({extras.command('video')}); of several, the"
        " results of a folder lie below its name",
        required=True,
    )
    output = absl_flags.DEFINE_string("output", None, "folder of the results", required=True)
    write = absl_flags.DEFINE_list(
        "write",
        list(DEFAULT_KINDS),
        f"what to write, of {', '.join(KINDS)}: label maps, label maps in colour, colours over the"
        " photos, probability of the predicted class (grey), share of each class as CSV and JSON,"
        " the colours' meaning (SVG), and classes.yaml by which a training reads the label maps;"
        f" default {','.join(DEFAULT_KINDS)}",
    )
    label_ids = absl_flags.DEFINE_string(
        "label_ids",
        "train",
        "ids in label maps: train (order of the network's outputs), classes (those that"
        " classes.yaml gave in training), or cityscapes (label ids, where the classes are"
        " Cityscapes'); default train",
    )
    opacity = absl_flags.DEFINE_float("opacity", 0.5, "of the colours in overlays; default 0.5")
    window = absl_flags.DEFINE_string(
        "window",
        None,
        "HEIGHT,WIDTH: segment photos in overlapping windows of at most this size, after"
        " photo_size",
    )
    every = absl_flags.DEFINE_integer(
        "every", 1, "of a video, take every Nth frame; default 1", lower_bound=1
    )

    def command() -> None:
        from msl_jax.commands.predict import predict

        options = PhotoOptions(
            tuple(write.value), label_ids.value, opacity.value, _size(window.value)
        )
        predict(
            config.value,
            checkpoint.value,
            given.value,
            output.value,
            flags.overrides(),
            options,
            every.value,
        )

    flags.run(
        command,
        flags.usage(_ABOUT, "predict.py", _ARGUMENTS),
        interrupted="the same command goes on from there",
        described=[checkpoint, given, output, write, label_ids, opacity, window, every],
    )


def _size(window: str | None) -> tuple[int, int] | None:
    if window is None:
        return None
    try:
        height, width = map(int, window.split(","))
    except ValueError as error:
        raise UserError(f"--window={window}: expected HEIGHT,WIDTH in pixels") from error
    return height, width
