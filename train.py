"""The command `msl-jax train`, run from a clone: python train.py --help."""

from msl_jax.cli.train import main

if __name__ == "__main__":
    main()
