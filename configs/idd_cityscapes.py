r"""India Driving Data to Cityscapes: cityscapes_idd reversed.

    python train.py --config configs/idd_cityscapes.py:VARIANT \
        --config.source_root=IDD_LITE --config.target_root=CITYSCAPES256

Everything else is the same.
"""

import runpy
from pathlib import Path

from msl_jax.config import DEFAULT_VARIANT

_THERE = Path(__file__).with_name("cityscapes_idd.py")


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of India to Germany for one variant of the method."""
    config = runpy.run_path(str(_THERE))["get_config"](variant)
    config.source, config.target = "idd_lite", "cityscapes_pix2pix"
    return config
