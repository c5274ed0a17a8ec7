"""Unsupervised domain adaptation of semantic segmentation with maximum squares loss, in JAX."""
