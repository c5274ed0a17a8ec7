"""Segments or classifies ordinary photos with a trained network.

python predict.py --checkpoint PATH --input IMAGE_OR_FOLDER --output DIR [--config ...]
    [--config.KEY=VALUE ...]
"""

from absl import flags

from msl_jax.commands.predict import predict
from msl_jax.runtime import command_line

_CONFIG = command_line.define_config()
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, command_line.PATH_HELP, required=True)
_INPUT = flags.DEFINE_string("input", None, "a photo or a folder of photos", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "folder of the results", required=True)

if __name__ == "__main__":
    command_line.run(
        lambda: predict(
            _CONFIG.value,
            _CHECKPOINT.value,
            _INPUT.value,
            _OUTPUT.value,
            command_line.overrides(),
        ),
        __doc__,
        interrupted="some files are in --output already: remove them or give another folder",
    )
