"""The kinds of task by the key `task` of a configuration."""

from __future__ import annotations

from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.tasks.classification import Classification
from msl_jax.tasks.segmentation import Segmentation
from msl_jax.tasks.task import Task

TASKS: dict[str, Task] = {"segmentation": Segmentation(), "classification": Classification()}


def task_of(config: Any) -> Task:
    """The task of a complete configuration, or of one that a run has saved."""
    return TASKS[config["task"]]


def build_model(config: ConfigDict) -> Any:
    """The network that a complete configuration describes."""
    return task_of(config).model(config)
