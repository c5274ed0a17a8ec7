"""Wrong edits of AdaptSegNet and ADVENT."""

from __future__ import annotations

from edit import OPTIMIZER, PRESETS, TABLE, Edit

ADVERSARIAL = "msl_jax/methods/adversarial.py"
DISCRIMINATOR = "msl_jax/models/discriminator.py"
RUN = "msl_jax/experiment/run.py"
STEPS = "tests/parity/test_adversarial.py::test_three_steps"
LOSSES = "tests/parity/test_adversarial.py::test_discriminator_and_its_losses"
MAPS = "tests/parity/test_adversarial.py::test_self_information"
DEVICES = "tests/training/test_adversarial_step.py"
FIRST_STEP = "tests/end_to_end/test_variants.py::test_first_step_of_other_methods"
RUNS = "tests/end_to_end/test_adversarial.py"

EDITS = [
    Edit(
        "labels of the domains are swapped",
        ADVERSARIAL,
        "SOURCE, TARGET = 0.0, 1.0",
        "SOURCE, TARGET = 1.0, 0.0",
        (LOSSES, STEPS, FIRST_STEP),
    ),
    Edit(
        "the network's term trains the discriminator too",
        ADVERSARIAL,
        "told(lax.stop_gradient(params), head, logits[head], images, SOURCE)",
        "told(params, head, logits[head], images, SOURCE)",
        (LOSSES, STEPS),
    ),
    Edit(
        "the discriminator's term on the target moves the network",
        ADVERSARIAL,
        "told(params, head, lax.stop_gradient(logits[head]), images, TARGET)",
        "told(params, head, logits[head], images, TARGET)",
        (LOSSES, STEPS),
    ),
    Edit(
        "the discriminator's term on the source moves the network",
        ADVERSARIAL,
        "told(params, head, lax.stop_gradient(logits[head]), images, SOURCE)",
        "told(params, head, logits[head], images, SOURCE)",
        (LOSSES, STEPS),
    ),
    Edit(
        "self-information is in bits",
        ADVERSARIAL,
        "/ math.log2(logits.shape[-1])",
        "/ 1.0",
        (MAPS, FIRST_STEP),
    ),
    Edit(
        "entropy is in nats",
        "msl_jax/methods/minent_advent.py",
        "/ math.log(logits[head].shape[-1])",
        "/ 1.0",
        ("tests/parity/test_adversarial.py::test_entropy_of_both_heads", FIRST_STEP),
    ),
    Edit(
        "a discriminator wins as soon as it is better than chance",
        ADVERSARIAL,
        "WON * CHANCE",
        "CHANCE",
        ("tests/methods/test_concerns.py",),
    ),
    Edit(
        "a warning does not wait",
        "msl_jax/methods/concerns.py",
        "self._times == LASTING",
        "self._times == 1",
        (RUNS,),
    ),
    Edit(
        "a device's mean is taken for its share",
        ADVERSARIAL,
        "return method.share_of_mean(domain_loss(outputs, label, gan), axis_name)",
        "return domain_loss(outputs, label, gan)",
        (DEVICES, FIRST_STEP),
    ),
    Edit(
        "Adam has its usual second beta",
        ADVERSARIAL,
        "b1=0.9, b2=0.99",
        "b1=0.9, b2=0.999",
        (OPTIMIZER,),
    ),
    Edit(
        "discriminators learn at the network's rate",
        ADVERSARIAL,
        "stage_schedule(config, adapt=True, learning_rate=rate)",
        "stage_schedule(config, adapt=True)",
        (OPTIMIZER,),
    ),
    Edit(
        "scales and offsets of batch norm are always trained",
        "msl_jax/methods/segmentation.py",
        'if adapt and config.method.get("frozen_affine", False):',
        "if False:",
        (OPTIMIZER, RUNS),
    ),
    Edit(
        "both discriminators are drawn alike",
        ADVERSARIAL,
        "2 * config.seed + index",
        "2 * config.seed",
        (FIRST_STEP,),
    ),
    Edit(
        "the seed of the discriminators is 0",
        ADVERSARIAL,
        "2 * config.seed + index",
        "index",
        ("tests/methods/test_seeds.py",),
    ),
    Edit(
        "gan is always vanilla",
        ADVERSARIAL,
        "gan=config.method.gan",
        'gan="vanilla"',
        (FIRST_STEP,),
    ),
    Edit(
        "advent sees probabilities",
        ADVERSARIAL,
        '"advent": Adversarial(self_information,',
        '"advent": Adversarial(jax.nn.softmax,',
        (FIRST_STEP,),
    ),
    Edit(
        "ADVENT's heads sum two dilations",
        ADVERSARIAL,
        '"model.active_dilations": OFFICIAL_DILATIONS,',
        '"model.active_dilations": OFFICIAL_DILATIONS[:2],',
        (PRESETS,),
    ),
    Edit(
        "adaptsegnet_single has two heads",
        "msl_jax/methods/variants.py",
        'method="adaptsegnet_single", meaning',
        'multi=True, method="adaptsegnet_single", meaning',
        (TABLE,),
    ),
    Edit("leaky ReLU is ReLU", DISCRIMINATOR, "x), 0.2)", "x), 0.0)", (LOSSES,)),
    Edit(
        "biases of a discriminator are 0",
        "msl_jax/models/initial.py",
        "bound * (2 * values - 1)",
        'bound * (2 * values - 1) * (path[-1] == "kernel")',
        (DEVICES,),
    ),
    Edit(
        "an untrained network is measured before the adaptation",
        RUN,
        "self._baseline(variables if trained else None)",
        "self._baseline(variables)",
        (RUNS,),
    ),
    Edit(
        "there is always a source-only stage",
        RUN,
        "if config.source_steps > 0 and not (trained or began):",
        "if not (trained or began):",
        (RUNS,),
    ),
    Edit(
        "the first network of an ensemble predicts alone",
        "msl_jax/tasks/ensemble.py",
        "return sum(found[1:], start=found[0]) / len(found), None",
        "return found[0], None",
        ("tests/end_to_end/test_ensemble.py",),
    ),
]
