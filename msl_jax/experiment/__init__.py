"""A training run: its stages, with their evaluations, checkpoints, logs and pictures."""
