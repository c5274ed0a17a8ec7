r"""SYNTHIA to Cityscapes, 16 classes (Table 3).

    python train.py --config configs/synthia.py:VARIANT --config.init_from=INIT \
        --config.source_root=SYNTHIA --config.target_root=CITYSCAPES
    python eval.py --checkpoint runs/synthia-VARIANT-seed0 "--config.target_size=(512,1024)"

INIT and the sizes are as in configs/gta5.py. With --config.num_classes=13 the network has the 13
classes alone; the paper's network has 16, and its mIoU* is over 13 of its IoUs (`miou_13`).

Published mIoU / mIoU* on Cityscapes val, from checkpoints chosen on its labels: source 30.1 / 34.3,
minent 38.0 / 44.5, max_square 39.3 / 45.8, max_square_iw 40.4 / 46.9, max_square_iw_multi
41.4 / 48.2. Not measured here: neither the data nor a GPU is at hand.
"""

from msl_jax.config import DEFAULT_VARIANT, VARIANTS, base_config


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of SYNTHIA to Cityscapes for one variant of the method."""
    config = base_config("synthia", variant)
    config.source_train, config.target_train = "synthia/train", "cityscapes/train"
    config.source_eval, config.target_eval = "synthia/val", "cityscapes/val"
    config.num_classes = 16
    config.source_size = (760, 1280)
    config.target_size = (640, 1280) if VARIANTS[variant].multi else (512, 1024)
    return config
