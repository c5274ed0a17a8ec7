"""What can be set of self-training: the keys `config.method` of its variants."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from msl_jax.methods.method import Key

DACS_KEYS = {
    "teacher_decay": Key(0.99, "share of the old teacher in the new one, at most", low=0, high=1),
    "confidence": Key(0.968, "probability from which the teacher is confident", low=0, high=1),
    "lambda_mixed": Key(1.0, "weight of the cross entropy on mixed images", low=0),
    "jitter": Key(0.25, "strength of their colour jitter, 0 for none", low=0, high=0.5),
    "blur": Key(True, "blur them in every other step"),
    "frozen_affine": Key(True, "keep scales and offsets of batch norm as they are"),
}
_MASKED = {
    "lambda_masked": Key(1.0, "weight of the cross entropy on masked images, 0 for none", low=0),
    "mask_ratio": Key(0.7, "share of a masked image that is hidden", low=0, high=1),
    "mask_cell": Key(32, "side of what is hidden together, in pixels", low=1),
}
_MAX_SQUARE = {
    "target_loss": Key(
        "cross_entropy",
        "on the target pixels of mixed images",
        choices=("cross_entropy", "max_square"),
    ),
    "image_weights": Key(False, "weigh maximum squares by the classes of the image (Eq. 13)"),
    "max_square_below": Key(False, "maximum squares where the teacher is not confident"),
}
_RARE_CLASSES = {
    "rare_class_temperature": Key(0.0, "of rare class sampling of the source, 0 for none", low=0),
    # 3,000 pixels of GTA5's 1914x1052, as DAFormer's official code has it.
    "rare_class_share": Key(
        0.0015, "of the pixels of an image, that makes it one of a class", low=0, high=1
    ),
}
MIC_KEYS = {**DACS_KEYS, **_MASKED, **_RARE_CLASSES}
SELF_TRAINING_KEYS = {
    **MIC_KEYS,
    **_MAX_SQUARE,
    "frozen_affine": DACS_KEYS["frozen_affine"]._replace(default=False),
    "lambda_masked": _MASKED["lambda_masked"]._replace(default=0.0),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The ingredients, as the keys of the same names say; the defaults are DACS's."""

    teacher_decay: float = 0.99
    confidence: float = 0.968
    lambda_mixed: float = 1.0
    jitter: float = 0.25
    blur: bool = True
    target_loss: str = "cross_entropy"
    image_weights: bool = False
    max_square_below: bool = False
    lambda_masked: float = 0.0
    mask_ratio: float = 0.7
    mask_cell: int = 32

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> Settings:
        """Those of a configuration's group `method`; what it lacks is as in DACS."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in keys.items() if name in names})
