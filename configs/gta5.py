r"""GTA5 to Cityscapes, 19 classes (Tables 2, 4 and 5).

    python train.py --config configs/gta5.py:VARIANT --config.init_from=INIT \
        --config.source_root=GTA5 --config.target_root=CITYSCAPES
    python eval.py --checkpoint runs/gta5-VARIANT-seed0 "--config.target_size=(512,1024)"

INIT is the DeepLab initialisation (`DeepLab_resnet_pretrained_init-f81d91e8.pth`, the official
start) or torchvision's resnet101; with a source-only checkpoint of the official code or of this
one the run starts with the adaptation. Multi variants train on a larger target image, and evaluate
at that size unless told otherwise, as above.

Published mIoU on Cityscapes val, from checkpoints chosen on its labels (docs/reproducing.md):
source 36.9, minent 42.2, minent_iw 43.5, max_square 44.3, max_square_iw 45.2, max_square_multi
45.2, max_square_iw_multi 46.4; AdaptSegNet gives 65.1 for oracle. Of adaptsegnet 42.4, of
adaptsegnet_single 41.4, of advent 43.8 and of minent_advent 42.3 by their authors, who train from
INIT at once on all images of GTA5, unaugmented, as these variants do here (docs/methods.md), and
evaluate at the labels' own size (eval.py --config.eval_size=full). Of dacs 52.1 and of mic 56.0 by
theirs, the former with an INIT that has seen MS COCO too. Of cbst 46.5, of crst_mrkld 47.4 and of
crst_lrent 46.5 by theirs, tested at several scales, and of cbst_sp 46.2 with another network
(ResNet-38). Not measured here: the data were not available.
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
    """Configuration of GTA5 to Cityscapes for one variant of the method."""
    config = base_config("gta5", variant)
    config.source_train, config.target_train = "gta5/train", "cityscapes/train"
    config.source_eval, config.target_eval = "gta5/val_500", "cityscapes/val"
    config.num_classes = 19
    config.source_size = (720, 1280)
    config.target_size = (640, 1280) if VARIANTS[variant].multi else (512, 1024)
    if variant in ADVERSARIAL:
        # The source is then evaluated on images that it was trained on: val_500 is among them.
        config.source_train, config.target_size = "gta5/all", (512, 1024)
        config.source_augmentation = config.target_augmentation = augmentation(
            mirror=False, blur=False
        )
    if variant in SELF_TRAINING:  # what is mixed has one size
        config.source_train, config.target_size = "gta5/all", (512, 1024)
        config.source_augmentation = config.target_augmentation = augmentation(
            mirror=False, blur=False, crop=(512, 512)
        )
        config.batch_size = 2
    if variant in IN_ROUNDS:  # as CRST, which labels 505 of the 2,975 target images
        config.source_train = "gta5/all"
        config.source_size, config.target_size = (1052, 1914), (1024, 2048)
        config.source_augmentation = config.target_augmentation = augmentation(
            blur=False, scale=(0.5, 1.5), crop=(512, 1024)
        )
        config.learning_rate, config.frozen_batch_norm = 5e-5, True
        config.method.image_share = 0.17
    return config
