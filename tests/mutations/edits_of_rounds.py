"""Wrong edits of self-training in rounds."""

from __future__ import annotations

from edit import END_TO_END, Edit

FORMULAS, LOSSES, ROUNDS, LABELLER, STAGE, RECORDS, PRIOR = (
    "msl_jax/methods/class_balanced.py",
    "msl_jax/methods/cbst.py",
    "msl_jax/experiment/rounds.py",
    "msl_jax/experiment/labeller.py",
    "msl_jax/experiment/stage.py",
    "msl_jax/data/labelled_records.py",
    "msl_jax/data/spatial_prior.py",
)
PARITY = "tests/parity/test_class_balanced.py"
RUNS = f"{END_TO_END}/test_rounds.py"
OF_THE_ROUND = f"{RUNS}::test_labels_are_those_of_the_network_at_the_start_of_the_round"
KILLED = f"{RUNS}::test_killed_run_continues_as_if_it_had_not_been"
MINING = "tests/data/test_labelled_records.py"

EDITS = [
    Edit(
        "the number of pixels is rounded",
        FORMULAS,
        "int(portion * len(values))",
        "round(portion * len(values))",
        (PARITY,),
    ),
    Edit(
        "every fourth pixel of the image, not of the class",
        FORMULAS,
        "confidences[winners == label][::every]",
        "confidences.ravel()[::every][winners.ravel()[::every] == label]",
        (PARITY,),
    ),
    Edit(
        "the pixel that is the threshold has no label",
        FORMULAS,
        "probabilities >= limits",
        "probabilities > limits",
        (PARITY,),
    ),
    Edit(
        "each domain's loss is a mean of its own",
        LOSSES,
        "sum(counts[1:], counts[0])",
        "counts[0]",
        (PARITY,),
    ),
    Edit(
        "the second class of a soft label weighs as much as the first",
        FORMULAS,
        "jnp.stack([1 - share, share], axis=-1)",
        "jnp.stack([1 - share, 1 - share], axis=-1)",
        (PARITY,),
    ),
    Edit(
        "momentum goes on in the next round",
        ROUNDS,
        "if begins and number and",
        "if begins and not number and",
        (f"{RUNS}::test_momentum_is_lost_between_the_rounds",),
    ),
    Edit(
        "labels of another network are used",
        ROUNDS,
        "round_files.check(folder) == network",
        "round_files.check(folder)",
        (f"{RUNS}::test_labels_of_another_network_are_not_used",),
    ),
    Edit(
        "the images are labelled without mirroring",
        LABELLER,
        "labelling.label_flip,",
        "False,",
        (OF_THE_ROUND,),
    ),
    Edit(
        "labels are written without the thresholds of the round",
        ROUNDS,
        "labels(variables, records, limits)",
        "labels(variables, records, limits * 0 + 1)",
        (OF_THE_ROUND,),
    ),
    Edit(
        "what is still to be evaluated goes into the next round",
        STAGE,
        "made < end or end == ends[-1] or (made == end and not point.evaluated)",
        "made < end or end == ends[-1]",
        (f"{RUNS}::test_stop_in_the_evaluation_that_ends_a_round",),
    ),
    Edit(
        "crops are laid round rare classes more often",
        RECORDS,
        "chance >= self.chance",
        "chance >= self.chance + 0.2",
        (f"{MINING}::test_mining",),
    ),
    Edit(
        "the prior tells how frequent a class is",
        PRIOR,
        "mean = found.mean(axis=(0, 1))",
        "mean = found.mean()",
        ("tests/data/test_spatial_prior.py",),
    ),
]
