"""`python -m msl_jax`: the command `msl-jax` of a copy that is not installed."""

from msl_jax.cli.main import main

if __name__ == "__main__":
    main()
