"""Wrong edits between a configuration and a run: its stages, its batches and its seeds."""

from __future__ import annotations

from edit import CLASSIFICATION, END_TO_END, RUN, SOURCE_STAGE, Edit, first_step

EXPERIMENT = "msl_jax/experiment/run.py"
NOT_FINITE = f"{END_TO_END}/test_resume.py::"
NOT_FINITE += "test_loss_that_is_not_finite_keeps_the_last_checkpoint"
BOTH_STAGES = f"{END_TO_END}/test_init_from.py::TestBackbone::test_both_stages_are_trained"

_OF_A_RUN = [
    Edit(
        "the adaptation trains on the images of the evaluation",
        EXPERIMENT,
        'splits.load_unlabelled(config, "target_train", known)',
        'splits.load_unlabelled(config, "target_eval", known)',
        (first_step("max_square_iw_multi"),),
    ),
    Edit(
        "the source stage trains on the images of the evaluation",
        EXPERIMENT,
        'source_role = "target_train" if self.variant.oracle else "source_train"',
        'source_role = "target_train" if self.variant.oracle else "source_eval"',
        (SOURCE_STAGE,),
    ),
    Edit(
        "the source stage is trained as an adaptation",
        EXPERIMENT,
        "method_of(config, adapt=stage.adapt)",
        "method_of(config, adapt=True)",
        (SOURCE_STAGE,),
    ),
    Edit(
        "the source stage has the adaptation's steps",
        EXPERIMENT,
        "config.source_steps,",
        "config.steps,",
        (SOURCE_STAGE,),
    ),
    Edit(
        "a step takes its micro-batches as one",
        EXPERIMENT,
        "accumulate = self.config.accumulate",
        "accumulate = 1",
        (SOURCE_STAGE,),
    ),
    Edit(
        "a step takes one micro-batch alone",
        "msl_jax/data/splits.py",
        "return config.accumulate * config.batch_size *",
        "return config.batch_size *",
        (SOURCE_STAGE,),
    ),
    Edit(
        "a batch is of one example",
        "msl_jax/data/splits.py",
        "return config.accumulate * config.batch_size *",
        "return config.accumulate *",
        (f"{CLASSIFICATION}::test_source_stage",),
    ),
]

_OF_SEEDS = [
    Edit(
        "the seed of the initial weights is 0",
        EXPERIMENT,
        "initial_variables(self.model, config.seed)",
        "initial_variables(self.model, 0)",
        (SOURCE_STAGE,),
    ),
    Edit(
        "the seed of heads that weights lack is 0",
        EXPERIMENT,
        "reinit_heads=config.reinit_heads, seed=config.seed",
        "reinit_heads=config.reinit_heads, seed=0",
        (BOTH_STAGES,),
    ),
    Edit(
        "the seed of the batches is 0",
        "msl_jax/data/splits.py",
        "seed=config.seed,",
        "seed=0,",
        (SOURCE_STAGE,),
    ),
    Edit(
        "the seed of the discriminator is 0",
        "msl_jax/methods/dann.py",
        "initial_params(module, (features,), config.seed)",
        "initial_params(module, (features,), 0)",
        (f"{CLASSIFICATION}::test_adaptation",),
    ),
    Edit(
        "the seed of the results is 0",
        EXPERIMENT,
        '"seed": config.seed',
        '"seed": 0',
        (f"{CLASSIFICATION}::test_evaluation", f"{RUN}::test_results_tell_the_seed"),
    ),
    Edit(
        "the seed of an evaluation's results is 0",
        "msl_jax/commands/evaluate.py",
        '"seed": config.seed',
        '"seed": 0',
        (f"{CLASSIFICATION}::test_evaluation",),
    ),
    Edit(
        "the seed of the examples that are named is 0",
        EXPERIMENT,
        '"seed": self.config.seed,',
        '"seed": 0,',
        (NOT_FINITE,),
    ),
    Edit(
        "the seed of a checkpoint's new heads is 0",
        "msl_jax/weights/saved_trees.py",
        "initial_heads(model, seed)",
        "initial_heads(model, 0)",
        ("tests/test_weights.py",),
    ),
    Edit(
        "the seed of a file's new heads is 0",
        "msl_jax/weights/find.py",
        "return from_torch(state_dict, model, reinit_heads=reinit_heads, seed=seed)",
        "return from_torch(state_dict, model, reinit_heads=reinit_heads, seed=0)",
        ("tests/test_weights.py",),
    ),
    Edit(
        "the seed of heads drawn for a state dict is 0",
        "msl_jax/weights/state_dict.py",
        "initial_heads(model, seed)",
        "initial_heads(model, 0)",
        ("tests/convert/test_state_dict.py",),
    ),
    Edit(
        "the seed in a workdir's name is 0",
        "msl_jax/runs/workdir.py",
        "{config.variant}-seed{config.seed}",
        "{config.variant}-seed0",
        ("tests/test_runs.py",),
    ),
]

_OF_A_CONTINUED_RUN = [
    Edit(
        "steps that are made again are logged twice",
        "msl_jax/runs/scalars.py",
        "for line in _lines(self._path) if line.step <= start",
        "for line in _lines(self._path)",
        ("tests/test_scalars.py",),
    ),
    Edit(
        "a run that goes on decides its open keys anew",
        "msl_jax/experiment/setup.py",
        "    if saved is not None:",
        "    if False:",
        ("tests/test_setup.py",),
    ),
    Edit(
        "a run that goes on keeps the first start's free keys",
        "msl_jax/experiment/setup.py",
        "for key in (*FREE_KEYS, *places)})",
        "for key in places})",
        ("tests/test_setup.py",),
    ),
    Edit(
        "data that moved are not compared with what they were",
        "msl_jax/commands/train.py",
        "expect_same_data(folder, experiment.data, moved(folder, given))",
        "pass",
        (f"{END_TO_END}/test_class_lists.py::test_other_data_in_another_place_are_refused",),
    ),
]

EDITS = [*_OF_A_RUN, *_OF_SEEDS, *_OF_A_CONTINUED_RUN]
