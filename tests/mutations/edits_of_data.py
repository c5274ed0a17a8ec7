"""Wrong edits of what is read, classified, evaluated and measured."""

from __future__ import annotations

from edit import (
    CLASSIFICATION,
    EVALUATION,
    ORDER,
    PHOTOS,
    SOURCE_STAGE,
    Edit,
    first_step,
)

PARTS, PIPELINE = "msl_jax/data/splits.py", "msl_jax/data/pipeline.py"
AUGMENT = "msl_jax/data/augment.py"
SEGMENTATION, CLASSIFIER = (
    "msl_jax/tasks/segmentation.py",
    "msl_jax/tasks/classification.py",
)
TRAINED_CLASSIFIER, DANN = "msl_jax/methods/classification.py", "msl_jax/methods/dann.py"
PHOTOS_WRITTEN = "msl_jax/tasks/photos.py"
PIX2PIX = "msl_jax/data/datasets/cityscapes_pix2pix.py"
PIX2PIX_TEST = "tests/data/test_cityscapes_pix2pix.py"
MAXSQUARE = first_step("max_square")
ADAPTATION = f"{CLASSIFICATION}::test_adaptation"
CLASSIFIED = f"{CLASSIFICATION}::test_photos_are_looked_at_as_in_the_evaluation"
CROP = "tests/evaluation/test_classifier.py::test_centre_crop"

_OF_AUGMENTATION = [
    Edit(
        "the source is augmented as the target",
        PARTS,
        "source_augmentation=build_augmentation(config.source_augmentation)",
        "source_augmentation=build_augmentation(config.target_augmentation)",
        (SOURCE_STAGE,),
    ),
    Edit(
        "the target is augmented as the source",
        PARTS,
        "target_augmentation=build_augmentation(config.target_augmentation)",
        "target_augmentation=build_augmentation(config.source_augmentation)",
        (MAXSQUARE,),
    ),
    *(
        Edit(f"the augmentation's {what}", PARTS, old, new, (SOURCE_STAGE,))
        for what, old, new in (
            ("mirror is ignored", "mirror=settings.mirror", "mirror=False"),
            ("blur is ignored", "blur=settings.blur", "blur=True"),
            ("crop is ignored", "crop=tuple(settings.crop) or None", "crop=None"),
            ("jitter is ignored", "jitter=settings.jitter", "jitter=0.0"),
            (
                "scale is ignored",
                "scale=None if low == high == 1.0 else (low, high)",
                "scale=None",
            ),
        )
    ),
    Edit(
        "the domains exchange their changes",
        PIPELINE,
        "_domain(source, _SOURCE, source_augmentation, seed)",
        "_domain(source, _SOURCE, target_augmentation, seed)",
        (ORDER,),
    ),
    Edit(
        "the target has the source's changes",
        PIPELINE,
        "_domain(target, _TARGET, target_augmentation, seed)",
        "_domain(target, _TARGET, source_augmentation, seed)",
        (ORDER,),
    ),
    Edit(
        "the seed of the order is 0",
        PIPELINE,
        "MapDataset.source(records).shuffle(seed=shuffle_seed)",
        "MapDataset.source(records).shuffle(seed=0)",
        (ORDER,),
    ),
    Edit(
        "the seed of the augmentation is 0",
        PIPELINE,
        "random_map(change, seed=random_seed)",
        "random_map(change, seed=0)",
        (ORDER,),
    ),
    Edit(
        "the seed of both order and augmentation is 0",
        PIPELINE,
        "np.random.SeedSequence([seed, domain])",
        "np.random.SeedSequence([0, domain])",
        (ORDER,),
    ),
    Edit(
        "the domains are drawn alike",
        PIPELINE,
        "np.random.SeedSequence([seed, domain])",
        "np.random.SeedSequence([seed, 0])",
        (ORDER,),
    ),
    Edit(
        "labels are mixed where they are scaled",
        AUGMENT,
        "cut(label, Image.Resampling.NEAREST)",
        "cut(label, Image.Resampling.BILINEAR)",
        ("tests/data/test_augment.py",),
    ),
    Edit(
        "labels stay a pixel behind their image",
        AUGMENT,
        "pad(cut(label, Image.Resampling.NEAREST), IGNORE)",
        "pad(np.roll(cut(label, Image.Resampling.NEAREST), 1, 1), IGNORE)",
        ("tests/data/test_augment.py",),
    ),
    Edit(
        "the fingerprint of files leaves their size out",
        "msl_jax/data/datasets/fingerprint.py",
        r"\t{status.st_size}\t",
        r"\t",
        ("tests/data/test_fingerprint.py",),
    ),
    Edit(
        "the fingerprint of files leaves their times out",
        "msl_jax/data/datasets/fingerprint.py",
        r"\t{times}",
        "",
        ("tests/data/test_fingerprint.py",),
    ),
    Edit(
        "the fingerprint of files believes the time that a copy sets",
        "msl_jax/data/datasets/fingerprint.py",
        r"\t{status.st_ctime_ns}",
        "",
        ("tests/data/test_fingerprint.py",),
    ),
]

_OF_EVALUATION = [
    Edit(
        "labels are compared at the network's size alone",
        SEGMENTATION,
        'if config.eval_size == "network" else None',
        "if True else None",
        (EVALUATION,),
    ),
    Edit(
        "labels are compared at full size alone",
        SEGMENTATION,
        'if config.eval_size == "network" else None',
        "if False else None",
        (EVALUATION,),
    ),
    Edit(
        "both domains are compared at the target's size",
        SEGMENTATION,
        'tuple(config[f"{domain}_size"])',
        "tuple(config.target_size)",
        (EVALUATION,),
    ),
    Edit(
        "records for evaluation keep no full labels",
        PARTS,
        "keep_label_size=evaluation",
        "keep_label_size=False",
        (EVALUATION,),
    ),
    Edit(
        "the evaluation's flip is ignored",
        SEGMENTATION,
        "Predictor(model, config.flip, tuple(config.scales))",
        "Predictor(model, False, tuple(config.scales))",
        (EVALUATION,),
    ),
    Edit(
        "the evaluation's scales are ignored",
        SEGMENTATION,
        "Predictor(model, config.flip, tuple(config.scales))",
        "Predictor(model, config.flip)",
        (EVALUATION,),
    ),
    Edit(
        "the evaluation's input convention is ignored",
        "msl_jax/evaluation/segmentation.py",
        "inputs = network_input(self.model, images)",
        "inputs = images.astype(jnp.float32)",
        (EVALUATION,),
    ),
    Edit(
        "photos enter the network at their own size",
        PHOTOS_WRITTEN,
        'if how == "target":\n        return target',
        'if how == "target":\n        return size',
        (PHOTOS,),
    ),
    Edit(
        "photos enter the network at the source's size",
        PHOTOS_WRITTEN,
        "target, how = tuple(config.target_size)",
        "target, how = tuple(config.source_size)",
        (PHOTOS,),
    ),
    Edit(
        "frequency of Fig. 4 is that of the predictions",
        "msl_jax/analysis/class_statistics.py",
        "labelled = sums.confusion.sum(axis=1)",
        "labelled = sums.confusion.sum(axis=0)",
        ("tests/analysis/test_pixel_statistics.py",),
    ),
]

_OF_CLASSIFICATION = [
    Edit(
        "classification's normalization is the paper's",
        TRAINED_CLASSIFIER,
        "config.lambda_target, config.normalization",
        'config.lambda_target, "paper"',
        (ADAPTATION,),
    ),
    Edit(
        "classification's lambda_target is 0.3",
        TRAINED_CLASSIFIER,
        "config.lambda_target, config.normalization",
        "0.3, config.normalization",
        (ADAPTATION,),
    ),
    Edit("dann's weight is 1", DANN, "weight=config.lambda_target", "weight=1.0", (ADAPTATION,)),
    Edit(
        "the reversal does not grow over the steps",
        DANN,
        "steps=config.steps,",
        "steps=1,",
        (ADAPTATION,),
    ),
    Edit(
        "classification's weight decay is ignored in a run",
        "msl_jax/training/optimizer.py",
        "config.weight_decay",
        "0.0",
        (ADAPTATION,),
    ),
    Edit(
        "classification's head rate is ignored in a run",
        TRAINED_CLASSIFIER,
        "Group(rate=config.head_rate_multiplier)",
        "Group(rate=1.0)",
        (ADAPTATION,),
    ),
    Edit(
        "classification's crop is ignored in the evaluation",
        CLASSIFIER,
        "crop = tuple(config.source_augmentation.crop) or None",
        "crop = None",
        (CLASSIFIED,),
    ),
    Edit(
        "classification evaluates crops as large as the target's",
        CLASSIFIER,
        "crop = tuple(config.source_augmentation.crop) or None",
        "crop = tuple(config.target_augmentation.crop) or None",
        (CLASSIFIED,),
    ),
    Edit(
        "classification's flip is ignored",
        CLASSIFIER,
        "Classifier(model, crop, config.flip)",
        "Classifier(model, crop)",
        (CLASSIFIED,),
    ),
    Edit(
        "classified photos keep their size",
        PHOTOS_WRITTEN,
        'if how == "target":\n        return target',
        'if how == "target":\n        return size',
        (CLASSIFIED,),
    ),
    Edit(
        "the centre crop lies a row too low",
        "msl_jax/evaluation/classification.py",
        "max(0, (height - rows) // 2)",
        "max(0, (height - rows + 1) // 2)",
        (CROP,),
    ),
    Edit(
        "the centre crop lies a column too far right",
        "msl_jax/evaluation/classification.py",
        "max(0, (width - columns) // 2)",
        "max(0, (width - columns + 1) // 2)",
        (CROP,),
    ),
]

_OF_DATA_SETS = [
    *(
        Edit(f"a label of the pix2pix download: {what}", PIX2PIX, old, new, (PIX2PIX_TEST,))
        for what, old, new in (
            ("any distance is near", "_FARTHEST = 40", "_FARTHEST = 400"),
            ("lines are areas", "_FEWEST = 4", "_FEWEST = 3"),
            (
                "the halves are exchanged",
                "both[:, :_SIDE], both[:, _SIDE:]",
                "both[:, _SIDE:], both",
            ),
            ("no colour is unknown", "if place is not None:", "if False:"),
            ("bollards are an unknown colour", "_PATCH, _RANGE = 9, 32", "_PATCH, _RANGE = 9, 320"),
        )
    ),
    Edit(
        "IDD-Lite: the label is that of a frame of the same name in another sequence",
        "msl_jax/data/datasets/idd_lite.py",
        'label = labels / f"{frame}{_LABEL}"',
        "label = labels / f\"0/{frame.split('/')[1]}{_LABEL}\"",
        ("tests/data/test_idd_lite.py",),
    ),
    Edit(
        "joined classes are ignored",
        "msl_jax/data/label_sets.py",
        "for name in label.parts or (label.name,)",
        "for name in (label.name,)",
        ("tests/data/test_labels.py",),
    ),
]

EDITS = [*_OF_AUGMENTATION, *_OF_EVALUATION, *_OF_CLASSIFICATION, *_OF_DATA_SETS]
