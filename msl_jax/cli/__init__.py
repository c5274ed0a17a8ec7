"""The command `msl-jax`, and the flags of train.py, eval.py and predict.py."""

import importlib.util
import sys

if importlib.util.find_spec("absl") is None:  # a clone's scripts, without the environment
    sys.exit(
        f"error: {sys.executable} has none of the packages that msl_jax needs: activate the"
        " environment that has them, or install them there by pip install -e ."
    )
