"""The command `msl-jax`, and the flags of train.py, eval.py and predict.py."""
