"""Wrong edits of the teacher, the mixed images, and the network that counts."""

from __future__ import annotations

from edit import END_TO_END, OPTIMIZER, Edit

CLASS_MIX, TEACHER, METHOD, DRAWS, STAGE, RARE = (
    "msl_jax/methods/class_mix.py",
    "msl_jax/methods/teacher.py",
    "msl_jax/methods/self_training.py",
    "msl_jax/methods/draws.py",
    "msl_jax/experiment/stage.py",
    "msl_jax/data/rare_classes.py",
)
PARITY = "tests/parity/test_self_training.py"
THREE_STEPS = f"{PARITY}::test_three_steps_of_dacs"
STEP = "tests/training/test_self_training_step.py"
DEVICES = f"{STEP}::test_two_devices_are_one_with_the_whole_batch"
RUNS = f"{END_TO_END}/test_self_training.py"
COUNTS = f"{RUNS}::test_recommended_network_is_what_counts"

EDITS = [
    Edit("half of the classes is rounded down", CLASS_MIX, "+ 1) // 2", ") // 2", (PARITY,)),
    Edit(
        "ignored pixels are no class",
        CLASS_MIX,
        "is_class(_index(labels, ids), ids)",
        "is_class(jnp.asarray(labels).astype(jnp.int32), ids)",
        (PARITY,),
    ),
    Edit(
        "the teacher's average begins later",
        TEACHER,
        "step - 1, decay",
        "step, decay",
        (THREE_STEPS,),
    ),
    Edit(
        "the teacher keeps the statistics of one device",
        TEACHER,
        "stats if axis_name is None else lax.pmean(stats, axis_name)",
        "stats",
        (f"{STEP}::test_teacher_has_statistics_of_clean_target_images",),
    ),
    Edit(
        "the share is that of a device",
        METHOD,
        "method.over_devices(counts, axis_name).astype(dtype)",
        "counts.astype(dtype)",
        (DEVICES,),
    ),
    Edit(
        "pasted pixels weigh no more than the others",
        METHOD,
        'weights = jnp.where(mask, 1, teacher["share"])',
        'weights = jnp.full(mask.shape, teacher["share"])',
        (THREE_STEPS,),
    ),
    Edit(
        "maximum squares where the teacher is confident",
        METHOD,
        'weights=~batch["teacher"]["confident"]',
        'weights=batch["teacher"]["confident"]',
        (f"{STEP}::test_terms_written_out",),
    ),
    Edit(
        "maximum squares on what is pasted",
        METHOD,
        "weights=~mask",
        "weights=mask",
        (f"{STEP}::test_terms_written_out",),
    ),
    Edit(
        "hidden pixels are shown",
        METHOD,
        'jnp.where(made["kept"][..., None], inputs, jnp.zeros_like(inputs))',
        "inputs",
        (f"{STEP}::test_terms_written_out",),
    ),
    Edit(
        "every step draws the same",
        DRAWS,
        "jax.random.fold_in(jax.random.key(seed % 2**32), context.step)",
        "jax.random.key(seed % 2**32)",
        ("tests/methods/test_draws.py",),
    ),
    Edit(
        "every device draws the same",
        DRAWS,
        "jnp.asarray(context.part, jnp.int32) * count",
        "0",
        ("tests/methods/test_draws.py", DEVICES),
    ),
    Edit(
        "the student is evaluated",
        STAGE,
        "metrics = self.measure(kept.variables)",
        "metrics = self.measure(state.variables)",
        (COUNTS,),
    ),
    Edit(
        "the student is kept",
        STAGE,
        "self.checkpoints.save(kept,",
        "self.checkpoints.save(state,",
        (RUNS,),
    ),
    Edit(
        "AdamW knows no warm-up",
        "msl_jax/training/optimizer.py",
        "warmed_up(_falling(config, stage, rate), config.warmup_steps)",
        "_falling(config, stage, rate)",
        (OPTIMIZER,),
    ),
    Edit(
        "common classes are drawn more often",
        RARE,
        "(1 - share) / temperature",
        "share / temperature",
        ("tests/data/test_rare_classes.py",),
    ),
    Edit(
        "the seed of rare class sampling is 0",
        "msl_jax/data/splits.py",
        "RareClasses(pixels, temperature, least, config.seed)",
        "RareClasses(pixels, temperature, least, 0)",
        ("tests/methods/test_seeds.py",),
    ),
]
