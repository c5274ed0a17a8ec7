"""The command `msl-jax eval`, run from a clone: python eval.py --help."""

from msl_jax.cli.evaluate import main

if __name__ == "__main__":
    main()
