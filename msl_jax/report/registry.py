"""The report of each task."""

from __future__ import annotations

from msl_jax.report.classification import ClassificationReport
from msl_jax.report.segmentation import SegmentationReport
from msl_jax.report.task_report import TaskReport

# By the key `task` of the configuration.
REPORTS: dict[str, TaskReport] = {
    "segmentation": SegmentationReport(),
    "classification": ClassificationReport(),
}
