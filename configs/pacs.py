r"""PACS: photos, art and cartoons of 7 classes, any two.

    python train.py --config configs/pacs.py:VARIANT --config.init_from=resnet50.pth \
        --config.data_root=PACS --config.source=photo --config.target=cartoon

VARIANT: source, target_statistics, minent, max_square (default), dann or oracle. PACS holds
photo/, art_painting/, cartoon/ and, if you have it, sketch/, each with a folder for each class:
class folders (docs/datasets.md). resnet50.pth is torchvision's, trained on ImageNet; from random
values the network would need far more images. All source images are labelled, all target images
unlabelled; accuracy is measured on the same target images.

The paper has no results on PACS. Network, rates, steps and weights of the target losses are those
of configs/office31.py, whose docstring gives their sources. Not measured yet. All tasks
between the first three domains, over seeds:

    python -m benchmarks.tables --config configs/pacs.py --config.init_from=resnet50.pth \
        --config.data_root=PACS --workdir W --seeds 0,1,2

64 images of each domain are for one device; with N devices set --config.batch_size to 64 / N. On a
CPU that takes days; --config.shrink=true is a small trial run, in a minute or two.
"""

from msl_jax.config import augmentation, base_config

LAMBDA_TARGET = {"minent": 0.03, "max_square": 0.3, "dann": 1.0}
DEFAULT_VARIANT = "max_square"


def get_config(variant: str = DEFAULT_VARIANT):
    """Configuration of one domain to another for one variant of the method."""
    config = base_config("pacs", variant, task="classification")
    with config.unlocked():
        config.source, config.target = "photo", "cartoon"
    for role in ("source", "target"):
        domain = "class_folders/" + config.get_ref(role)
        config[f"{role}_train"] = config[f"{role}_eval"] = domain
        config[f"{role}_size"] = (256, 256)
        config[f"{role}_augmentation"] = augmentation(blur=False, crop=(224, 224))
    config.name = "pacs-" + config.get_ref("source") + "-" + config.get_ref("target")
    config.num_classes = 7

    config.model.network, config.model.depth, config.model.width = "classifier", 50, 64
    config.model.stride_placement = config.input_convention = "torchvision"

    config.batch_size, config.eval_batch_size = 64, 64
    config.schedule = "inverse"
    config.source_steps, config.source_learning_rate = 1000, 1e-3
    config.steps, config.learning_rate = 2000, 1e-3
    config.head_rate_multiplier = 10.0
    config.weight_decay = 5e-4
    config.normalization = "paper"
    config.lambda_target = LAMBDA_TARGET.get(variant)  # of others the preset's
    config.eval_every = 500
    return config
