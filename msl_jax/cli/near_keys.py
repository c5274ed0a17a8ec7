"""Which key was meant by one that does not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from msl_jax.config.keys import method_keys, model_keys
from msl_jax.config.table import KEYS

_MOST = 4  # suggestions

# What other programs of the field call these keys.
USUAL_WORDS: dict[str, tuple[str, ...]] = {
    "alpha": ("iw_alpha",),
    "amp": ("compute_dtype",),
    "arch": ("model.network", "model.backbone"),
    "architecture": ("model.network", "model.backbone"),
    "augment": ("source_augmentation", "target_augmentation"),
    "batch": ("batch_size", "accumulate", "eval_batch_size"),
    "bs": ("batch_size",),
    "checkpoint": ("init_from",),
    "classes": ("num_classes", "classes_file"),
    "crop_size": ("source_augmentation.crop", "target_augmentation.crop"),
    "data": ("data_root", "source_root", "target_root"),
    "data_dir": ("data_root", "source_root", "target_root"),
    "dtype": ("compute_dtype",),
    "ema": ("method.teacher_decay",),
    "encoder": ("model.backbone",),
    "epochs": ("steps", "source_steps"),
    "fp16": ("compute_dtype",),
    "grad_accum": ("accumulate",),
    "gradient_accumulation": ("accumulate",),
    "image_size": ("source_size", "target_size"),
    "input_size": ("source_size", "target_size"),
    "iterations": ("steps", "source_steps"),
    "lambda": ("lambda_target", "lambda_low", "lambda_source_low"),
    "lr": ("learning_rate", "source_learning_rate"),
    "lr_schedule": ("schedule", "poly_steps"),
    "max_iter": ("steps", "source_steps"),
    "max_iters": ("steps", "source_steps"),
    "num_epochs": ("steps", "source_steps"),
    "num_steps": ("steps", "source_steps"),
    "precision": ("compute_dtype",),
    "pretrained": ("init_from",),
    "resize": ("source_size", "target_size"),
    "resolution": ("source_size", "target_size"),
    "restore_from": ("init_from",),
    "scheduler": ("schedule", "poly_steps"),
    "size": ("source_size", "target_size", "eval_size"),
    "threshold": ("guidance_threshold", "method.confidence"),
    "tta": ("flip", "scales"),
    "wd": ("weight_decay",),
    "weights": ("init_from",),
}


def near_keys(wrong: str, first: Iterable[str] = ()) -> list[str]:
    """Keys that may be meant, the likeliest first; `first` come before all others.

    >>> near_keys("crop")
    ['source_augmentation.crop', 'target_augmentation.crop']
    >>> near_keys("lr")
    ['learning_rate', 'source_learning_rate']
    >>> near_keys("model.wdth")
    ['model.width']
    >>> near_keys("zzz")
    []
    """
    known = _known()
    word = wrong.lower().replace("-", "_").rpartition(".")[2]
    last = {key: key.rpartition(".")[2] for key in known}
    found = [*first, *USUAL_WORDS.get(word, ())]
    found += [key for key in known if last[key] == word]
    if not found:
        similar = difflib.get_close_matches(
            word, [*last.values(), *USUAL_WORDS], n=_MOST, cutoff=0.75
        )
        for name in dict.fromkeys(similar):
            found += [key for key in known if last[key] == name] or USUAL_WORDS[name]
        found += [key for key in known if word in last[key].split("_")]
    return list(dict.fromkeys(found))[:_MOST]


def _known() -> list[str]:
    methods = (key for keys in method_keys().values() for key in keys)
    return list(dict.fromkeys([*KEYS, *model_keys(), *methods]))


def unknown_key(text: str, argv: list[str]) -> str:
    """A message for what ml_collections complains about: `text` has a part of a key of `argv`."""
    words = set(re.findall(r"\w+", text))
    for arg in argv[1:]:
        key = arg.lstrip("-").partition("=")[0]
        wrong = key.removeprefix("config.")
        if wrong == key or not words.intersection(wrong.split(".")):
            continue
        if methods := [method for method, keys in method_keys().items() if wrong in keys]:
            return (
                f"--{key}: a key of {', '.join(methods)} alone; such a variant is given as"
                " --config NAME:VARIANT (msl-jax list variants)"
            )
        if wrong in _known():
            continue
        group, dot, name = wrong.rpartition(".")
        guess = re.search(r'Did you mean "(\w+)', text)  # of this very configuration
        near = near_keys(wrong, [f"{group}{dot}{guess[1]}"] if guess and name in words else [])
        names = " or ".join(filter(None, [", ".join(near[:-1]), *near[-1:]]))
        hint = f"; did you mean {names}? All" if near else ". All"
        return f"--{key}: no such key{hint} keys: msl-jax list keys"
    return f"--config: the file cannot be read ({text}); --config.debug=true shows where"
