"""Weights from elsewhere: where they lie, how they are named, whether they fit."""
