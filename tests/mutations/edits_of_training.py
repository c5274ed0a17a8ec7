"""Wrong edits between a configuration and what a step optimises."""

from __future__ import annotations

from edit import (
    OFFICIAL,
    OPTIMIZER,
    PRESETS,
    RUN,
    SOURCE_STAGE,
    TABLE,
    Edit,
    first_step,
)

VARIANTS = "msl_jax/methods/variants.py"
SEGMENTATION, CLASSIFIER = (
    "msl_jax/methods/segmentation.py",
    "msl_jax/methods/classification.py",
)
SGD = "msl_jax/training/optimizer.py"
MULTI, HARD = first_step("max_square_iw_multi"), first_step("hard")

_OF_VARIANTS = [
    Edit(
        "hard is minent",
        VARIANTS,
        '_target_loss("hard pseudo-labels", "hard")',
        '_target_loss("hard pseudo-labels", "minent")',
        (TABLE,),
    ),
    Edit(
        "minent_iw is not weighted",
        VARIANTS,
        'image-wise weights", "minent", iw=True)',
        'image-wise weights", "minent")',
        (TABLE,),
    ),
    Edit(
        "max_square_multi is weighted",
        VARIANTS,
        '(Eq. 15, 16)", "max_square", multi=True',
        '(Eq. 15, 16)", "max_square", iw=True, multi=True',
        (TABLE,),
    ),
    Edit(
        "max_square_iw is Multi",
        VARIANTS,
        '(Eq. 13)", "max_square", iw=True',
        '(Eq. 13)", "max_square", iw=True, multi=True',
        (TABLE,),
    ),
    Edit("dann aligns nothing", VARIANTS, 'Variant(method="dann", ', "Variant(", (TABLE,)),
    Edit(
        "hard becomes minent on the way to the objective",
        SEGMENTATION,
        'target_loss=variant.target_loss if adapt else "none"',
        'target_loss=variant.target_loss.replace("hard", "minent") if adapt else "none"',
        (HARD,),
    ),
    Edit(
        "nothing is weighted",
        SEGMENTATION,
        "iw_alpha=config.iw_alpha if variant.weighted else None",
        "iw_alpha=None",
        (first_step("minent_iw"),),
    ),
    Edit(
        "all but hard labels are weighted",
        SEGMENTATION,
        "iw_alpha=config.iw_alpha if variant.weighted else None",
        'iw_alpha=None if variant.target_loss == "hard" else config.iw_alpha',
        (first_step("max_square"),),
    ),
    Edit(
        "all is Multi", SEGMENTATION, "multi=variant.multi", "multi=True", (first_step("minent"),)
    ),
]

# Key, constant in its place, and the test.
_CONSTANTS = [
    ("lambda_target", "0.1", MULTI),
    ("lambda_source_low", "0.1", MULTI),
    ("lambda_low", "0.1", MULTI),
    ("guidance_threshold", "0.95", MULTI),
    ("guidance_threshold", "0.13", HARD),
    ("normalization", '"official"', first_step("max_square")),
    ("normalization", '"paper"', OFFICIAL),
    ("guidance_rule", '"official"', MULTI),
    ("guidance_rule", '"paper"', OFFICIAL),
]
_OF_THE_OBJECTIVE = [
    *(
        Edit(f"{key} is {value}", SEGMENTATION, f"{key}=config.{key},", f"{key}={value},", (test,))
        for key, value, test in _CONSTANTS
    ),
    Edit("iw_alpha is 0.2", SEGMENTATION, "=config.iw_alpha if", "=0.2 if", (MULTI,)),
    Edit(
        "lambda_source_low is 0 in a run",
        SEGMENTATION,
        "lambda_source_low=config.lambda_source_low,",
        "lambda_source_low=0.0,",
        (SOURCE_STAGE,),
    ),
    Edit(
        "lambda_low is not within lambda_target",
        SEGMENTATION,
        "weight = objective.lambda_low * objective.lambda_target",
        "weight = objective.lambda_low",
        (MULTI,),
    ),
    Edit(
        "frozen batch norm is ignored",
        "msl_jax/methods/registry.py",
        "if config.frozen_batch_norm if adapt else config.source_frozen_batch_norm:",
        "if False:",
        (RUN,),
    ),
    Edit(
        "batch norm is frozen in the source stage too",
        "msl_jax/methods/registry.py",
        "if config.frozen_batch_norm if adapt else config.source_frozen_batch_norm:",
        "if config.frozen_batch_norm:",
        (SOURCE_STAGE,),
    ),
    Edit(
        "the configuration's input convention is ignored",
        "msl_jax/models/spec.py",
        ', "input_convention": convention}',
        "}",
        (MULTI,),
    ),
    Edit(
        "the paper's losses are normalised officially",
        "msl_jax/config/presets.py",
        '"normalization": "paper"',
        '"normalization": "official"',
        (first_step("max_square"), PRESETS),
    ),
    Edit(
        "the paper's guidance follows the official rule",
        "msl_jax/config/presets.py",
        '"guidance_rule": "paper"',
        '"guidance_rule": "official"',
        (MULTI, PRESETS),
    ),
    Edit(
        "the paper's low head learns from source labels",
        "msl_jax/config/presets.py",
        '"lambda_source_low": 0.0,',
        '"lambda_source_low": 0.1,',
        (MULTI, PRESETS),
    ),
]

_OF_THE_OPTIMIZER = [
    *(
        Edit(f"{key} is {value}: {file}", file, f"config.{key}", value, (OPTIMIZER,))
        for file, key, value in (
            (SEGMENTATION, "head_rate_multiplier", "10.0"),
            (CLASSIFIER, "head_rate_multiplier", "10.0"),
            (SGD, "momentum", "0.9"),
            (SGD, "weight_decay", "5e-4"),
        )
    ),
    Edit(
        "AdamW is ignored",
        SGD,
        'config.optimizer == "adamw"',
        "False",
        (OPTIMIZER,),
    ),
    Edit(
        "a discriminator warms up like the network",
        SGD,
        "return _falling(config, stage, learning_rate)",
        "return warmed_up(_falling(config, stage, learning_rate), config.warmup_steps)",
        (OPTIMIZER,),
    ),
    *(
        Edit(
            f"repeated visits are {value}",
            SEGMENTATION,
            "repeated_visits=config.repeated_visits",
            f"repeated_visits={value}",
            (OPTIMIZER,),
        )
        for value in (True, False)
    ),
    Edit(
        "the source stage has the adaptation's schedule",
        SGD,
        'stage = "" if adapt else "source_"',
        'stage = ""',
        (OPTIMIZER,),
    ),
    Edit(
        "the source stage has the adaptation's poly_steps",
        SGD,
        'config[f"{stage}poly_steps"]',
        "config.poly_steps",
        (OPTIMIZER, SOURCE_STAGE),
    ),
    Edit(
        "the source stage has the adaptation's rate",
        SGD,
        'config[f"{stage}learning_rate"]',
        "config.learning_rate",
        (OPTIMIZER,),
    ),
    Edit(
        "the inverse schedule has the adaptation's steps",
        SGD,
        'config[f"{stage}steps"]',
        "config.steps",
        (OPTIMIZER,),
    ),
    Edit(
        "the published visits are made once",
        SEGMENTATION,
        "visits=group.visits if repeated_visits else 1",
        "visits=1",
        (OPTIMIZER,),
    ),
    Edit(
        "the stem's batch norm is trained",
        "msl_jax/models/backbones/resnet.py",
        'ParameterGroup("bn1/", "stem_batch_norm", visits=0)',
        'ParameterGroup("bn1/", "stem_batch_norm", visits=1)',
        (OPTIMIZER,),
    ),
    Edit(
        "the low head is always trained",
        SEGMENTATION,
        "parameter_rules(model, multi=multi)",
        "parameter_rules(model, multi=True)",
        (OPTIMIZER,),
    ),
]

EDITS = [*_OF_VARIANTS, *_OF_THE_OBJECTIVE, *_OF_THE_OPTIMIZER]
