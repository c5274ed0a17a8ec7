r"""Your own images: a labelled folder to one of photos.

    python train.py --config configs/folders.py --config.source_root=LABELLED \
        --config.target_root=PHOTOS --workdir W
    python predict.py --checkpoint W --input PHOTOS/images --output PREDICTIONS

LABELLED holds images/, labels/ (8-bit ids, the same names) and classes.yaml; PHOTOS holds images/,
and labels/ where you want the result measured, or photos alone. docs/your_own_data.md walks through
it, with the keys that are worth setting: the sizes, the network, and --config.init_from for
pretrained weights.

The defaults train a small network from scratch, under an hour on two CPU cores;
docs/your_own_data.md has what came out on CamVid as plain folders.
"""

from msl_jax.config import DEFAULT_VARIANT, augmentation, base_config


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of two folders for one variant of the method."""
    config = base_config("folders", variant)
    config.source_train, config.target_train = "folders/source_train", "folders/target_train"
    config.source_eval, config.target_eval = "folders/source_eval", "folders/target_eval"
    config.num_classes = None  # those of the class file
    config.source_size = config.target_size = (270, 360)
    scale, crop = (0.6, 1.4), (180, 240)
    config.source_augmentation = augmentation(scale=scale, crop=crop, jitter=0.3)
    config.target_augmentation = augmentation(scale=scale, crop=crop)

    config.model.depth, config.model.width = 14, 24
    config.model.aspp_dilations = config.model.active_dilations = (2, 4)
    config.head_rate_multiplier = 0.02  # from scratch the wide classifiers bear no more
    config.repeated_visits = False  # the rates below were chosen for one visit a step

    config.batch_size, config.eval_batch_size = 4, 4
    config.source_steps, config.source_learning_rate = 4000, 0.1
    config.steps, config.learning_rate = 600, 0.01
    config.lambda_target = 0.1
    config.eval_every = 500
    return config
