"""What can be seen of a run without labels of the target."""

from __future__ import annotations

import re

import numpy as np
import pytest

from msl_jax.analysis.unlabelled import jensen_shannon, main, signs
from msl_jax.data.splits import load_split
from msl_jax.evaluation.segmentation import predict
from msl_jax.runtime.errors import UserError
from msl_jax.tasks.registry import build_model
from msl_jax.tasks.segmentation import build_predictor


def test_divergence() -> None:
    p, q = [0.2, 0.8, 0.0], [0.5, 0.25, 0.25]
    mean = [0.35, 0.525, 0.125]
    of_p = 0.2 * np.log2(0.2 / mean[0]) + 0.8 * np.log2(0.8 / mean[1])
    of_q = sum(b * np.log2(b / m) for b, m in zip(q, mean, strict=True))
    assert jensen_shannon(p, q) == jensen_shannon(q, p) == pytest.approx((of_p + of_q) / 2)


def test_signs_of_a_run(whole, capsys: pytest.CaptureFixture[str]) -> None:
    found = signs(str(whole.workdir))
    config = whole.config
    records = load_split(config, "target_train", evaluation=False).records
    images = np.stack([records[i]["image"] for i in range(len(records))])
    predictor = build_predictor(config, build_model(config))
    classes, confidence = predict(predictor, whole.variables(), images, images.shape[1:3])
    assert found.confidence == pytest.approx(confidence.mean(), rel=1e-5)
    counts = np.bincount(classes.ravel(), minlength=config.num_classes)
    np.testing.assert_allclose(found.predicted, counts / counts.sum())
    assert found.labelled.sum() == pytest.approx(1)
    assert found.source == whole.results["final"]["source"]["miou"]

    main([str(whole.workdir), f"{whole.workdir}:source"])
    lines = capsys.readouterr().out.splitlines()
    assert re.split(" {2,}", lines[0])[-3:] == ["confidence, %", "shift, bits", "source, %"]
    assert len(lines[0]) == len(lines[1])
    assert lines[-2].startswith("The shift is better lower and the source")
    assert lines[1].split() == [
        *(str(whole.workdir), f"{100 * found.confidence:.1f}", f"{found.shift:.4f}"),
        f"{100 * found.source:.1f}",
    ]
    assert lines[2].startswith(f"{whole.workdir}:source")


def test_weights_that_belong_to_no_run(tmp_path) -> None:
    with pytest.raises(UserError, match="is not a run"):
        signs(str(tmp_path))
