"""From predictions to metrics and pictures."""

from msl_jax.evaluation.confusion import confusion_matrix, iou, summary

__all__ = ["confusion_matrix", "iou", "summary"]
