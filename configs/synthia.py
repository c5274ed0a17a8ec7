r"""SYNTHIA to Cityscapes, 16 classes (Table 3).

    python train.py --config configs/synthia.py:VARIANT --config.init_from=INIT \
        --config.source_root=SYNTHIA --config.target_root=CITYSCAPES
    python eval.py --checkpoint runs/synthia-VARIANT-seed0 "--config.target_size=(512,1024)"

INIT and the sizes are as in configs/gta5.py. With --config.num_classes=13 the network has only the
13 classes; the paper's network has 16, and its mIoU* is over 13 of its IoUs (`miou_13`). Of a
network with 19 outputs, such as a public checkpoint, the same 16 and 13 count.

Published mIoU / mIoU* on Cityscapes val, from checkpoints chosen on its labels: source 30.1 / 34.3,
minent 38.0 / 44.5, max_square 39.3 / 45.8, max_square_iw 40.4 / 46.9, max_square_iw_multi
41.4 / 48.2. By their authors, as there: adaptsegnet 46.7 (13 classes), advent 40.8 / 47.6,
minent_advent 38.1 / 44.2, dacs 48.3 / 54.8, cbst 42.5 / 48.4 (with another network, ResNet-38),
crst_lrent 48.7 (13 classes). Not measured here: the data were not available.
"""

from msl_jax.config import (
    ADVERSARIAL,
    DEFAULT_VARIANT,
    IN_ROUNDS,
    SELF_TRAINING,
    VARIANTS,
    augmentation,
    base_config,
)


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of SYNTHIA to Cityscapes for one variant of the method."""
    config = base_config("synthia", variant)
    config.source_train, config.target_train = "synthia/train", "cityscapes/train"
    config.source_eval, config.target_eval = "synthia/val", "cityscapes/val"
    config.num_classes = 16
    config.source_size = (760, 1280)
    config.target_size = (640, 1280) if VARIANTS[variant].multi else (512, 1024)
    if variant in ADVERSARIAL:
        config.target_size = (512, 1024)
        config.source_augmentation = config.target_augmentation = augmentation(
            mirror=False, blur=False
        )
    if variant in SELF_TRAINING:  # what is mixed has one size
        config.target_size = (512, 1024)
        config.source_augmentation = config.target_augmentation = augmentation(
            mirror=False, blur=False, crop=(512, 512)
        )
        config.batch_size = 2
    if variant in IN_ROUNDS:  # as in configs/gta5.py
        config.target_size = (1024, 2048)
        config.source_augmentation = config.target_augmentation = augmentation(
            blur=False, scale=(0.5, 1.5), crop=(512, 1024)
        )
        config.learning_rate, config.frozen_batch_norm = 5e-5, True
        config.method.image_share = 0.17
    return config
