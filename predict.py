"""The command `msl-jax predict`, run from a clone: python predict.py --help."""

from msl_jax.cli.predict import main

if __name__ == "__main__":
    main()
