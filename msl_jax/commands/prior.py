"""`msl-jax prior`: counts where the classes of the source lie, for CBST-SP."""

from __future__ import annotations

from pathlib import Path

from ml_collections.config_dict import ConfigDict

from msl_jax.data import spatial_prior, splits
from msl_jax.experiment import setup
from msl_jax.runtime.errors import UserError
from msl_jax.runtime.paths import absolute


def make_prior(config: ConfigDict, output: str | None, sigma: float | None = None) -> Path:
    """Writes the prior of `source_train`'s labels at the target's size.

    Args:
        config: as given; its records are prepared if need be.
        output: the file.
        sigma: of the Gaussian in pixels, see `msl_jax.data.spatial_prior`.

    Returns:
        The file.

    Raises:
        UserError: anything that the user can fix.
    """
    if not output:
        raise UserError("--output FILE: expected the name of the file to write, found none")
    if sigma is not None and sigma < 0:
        raise UserError(f"--sigma: expected at least 0, found {sigma}")
    path = absolute(output)
    if path.exists():
        raise UserError(f"--output {path}: exists; give another name")
    config = setup.complete(config, None)
    source = splits.load_labelled(config, "source_train")
    if source.records[0]["label"].ndim != 2:
        raise UserError(f"{config.name}: expected labels of pixels, found one of each image")
    size = tuple(config.target_size)
    sigma = spatial_prior.default_sigma(size[1]) if sigma is None else sigma
    names = source.label_set.names
    prior = spatial_prior.of_records(source.records, names, config.source_train, size, sigma)
    spatial_prior.save(path, prior)
    print(
        f"{path}: where {len(names)} classes lie in {len(source.records):,} labels of"
        f" {config.source_train}, {size[0]}x{size[1]} (height x width), standard deviation"
        f" {sigma:.1f} pixels. Train with --config.method.spatial_prior={path}"
    )
    return path
