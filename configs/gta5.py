r"""GTA5 to Cityscapes, 19 classes: the paper's main experiment (Tables 2, 4 and 5).

    python train.py --config configs/gta5.py:VARIANT --config.init_from=INIT \
        --config.source_root=GTA5 --config.target_root=CITYSCAPES
    python eval.py --checkpoint runs/gta5-VARIANT-seed0 "--config.target_size=(512,1024)"

INIT is the DeepLab initialisation (`DeepLab_resnet_pretrained_init-f81d91e8.pth`, the official
start) or torchvision's resnet101; with a source-only checkpoint of the official code or of this
one the run adapts at once. Multi variants train on a larger target image, and evaluate at that size
unless told otherwise, as above.

Published mIoU on Cityscapes val, from checkpoints chosen on its labels (docs/reproducing.md):
source 36.9, minent 42.2, minent_iw 43.5, max_square 44.3, max_square_iw 45.2, max_square_multi
45.2, max_square_iw_multi 46.4; AdaptSegNet gives 65.1 for oracle. Not measured here: neither the
data nor a GPU is at hand.
"""

from msl_jax.config import DEFAULT_VARIANT, VARIANTS, base_config


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of GTA5 to Cityscapes for one variant of the method."""
    config = base_config("gta5", variant)
    config.source_train, config.target_train = "gta5/train", "cityscapes/train"
    config.source_eval, config.target_eval = "gta5/val_500", "cityscapes/val"
    config.num_classes = 19
    config.source_size = (720, 1280)
    config.target_size = (640, 1280) if VARIANTS[variant].multi else (512, 1024)
    return config
