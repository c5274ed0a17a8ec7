"""What all tests share: strict arithmetic, two devices, a kept compilation cache."""

import gc
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before JAX starts: two CPU devices, so that nothing works on one device alone.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)
# Python caches the files of users that it runs beside them, where tests of commands that write
# nothing would find it; so no test depends on who has set this variable.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # of other processes; of this one: below
# Else a program's key in the compilation cache has the cache's own path in it.
os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"

import jax
import jax.numpy as jnp
import numpy as np
import program_cache
import pytest
from ml_collections import config_dict
from nothing_missing import pytest_make_collect_report, pytest_runtest_makereport  # noqa: F401
from PIL import Image

from msl_jax.config.presets import complete
from msl_jax.models.initial import abstract_variables

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

FRAMES = {
    "train": [*(f"0016E5_{i:05}" for i in range(7)), "0006R0_f00930", "0001TP_006690", "0001TP_7"],
    "val": ["0016E5_07959", "0016E5_07961"],
    "test": [f"0001TP_0080{i}" for i in range(5)],
}

# configs/camvid_scratch.py at a size that takes seconds. The two domains differ in size, one of
# them is cropped, and one convolution of each head is frozen.
TINY: dict[str, Any] = {
    "source_size": (24, 32),
    "target_size": (16, 32),
    "source_augmentation.crop": (16, 24),
    "target_augmentation.crop": (),
    "model.depth": 14,
    "model.width": 4,
    "model.aspp_dilations": (1, 2),
    "model.active_dilations": (1,),
    "batch_size": 1,
    "eval_batch_size": 1,
    "source_steps": 4,
    "steps": 4,
    "warmup_steps": 0,
    "eval_every": 2,
}

sys.dont_write_bytecode = True
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(program_cache.prepare()))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `long` run where the environment asks for them, as .ci/run does."""
    if os.environ.get("MSL_JAX_LONG_TESTS") != "1":
        skipped = pytest.mark.skip(reason="long: runs with MSL_JAX_LONG_TESTS=1")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(skipped)


def _free_programs() -> None:
    """Frees what tests have compiled, where it has become much.

    Programs lie in memory maps of their own, and Linux allows a process 65,530 (vm.max_map_count):
    with all tests' programs it comes near, and XLA crashes where a map is refused. One test leaves
    up to 6,000.
    """
    maps = Path("/proc/self/maps")
    if maps.is_file() and maps.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="module", autouse=True)
def _programs_of_a_file() -> Iterator[None]:
    yield
    _free_programs()


@pytest.fixture(autouse=True)
def _programs_of_a_test() -> Iterator[None]:
    start = time.monotonic()
    yield
    if time.monotonic() - start > 2:  # counting takes up to 0.05 s
        _free_programs()


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """The real CamVid frames, where they lie beside the project."""
    root = SHARED / "camvid"
    if not root.is_dir():
        pytest.skip("the real CamVid frames are not here (expected in ../shared/camvid)")
    return root


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Function that gives a folder of real data, where it lies beside the project."""

    def folder(name: str) -> Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"the real data are not here (expected in ../shared/{name})")
        return SHARED / name

    return folder


@pytest.fixture(autouse=True)
def records_dir(tmp_path_factory, monkeypatch) -> Path:
    """Records go to a folder of this test session, never to the user's."""
    folder = tmp_path_factory.getbasetemp() / "records"
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder


def _write_camvid(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, names in FRAMES.items():
        for name in names:
            for folder in (part, f"{part}annot"):
                (root / folder).mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 256, (48, 64, 3), np.uint8)
            label = rng.integers(0, 12, (12, 16), np.uint8).repeat(4, 0).repeat(4, 1)
            Image.fromarray(image).save(root / part / f"{name}.png")
            Image.fromarray(label).save(root / f"{part}annot" / f"{name}.png")
    return root


@pytest.fixture
def camvid_tree(tmp_path: Path) -> Path:
    """A fresh tree of small files that looks like CamVid and that a test may damage."""
    return _write_camvid(tmp_path / "camvid")


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, Any]]:
    """Function that gives the contents and times of all that lies in a folder, to be compared."""

    def take(folder: Path) -> dict[str, Any]:
        return {
            str(path.relative_to(folder)): (
                path.read_bytes() if path.is_file() else None,
                path.lstat().st_mtime_ns,
            )
            for path in sorted(folder.rglob("*"))
        }

    return take


@pytest.fixture(scope="session")
def shared_camvid_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tree, to be left as it is: what is prepared from it is prepared once."""
    return _write_camvid(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def tiny_keys(shared_camvid_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`TINY` with the places of the data and of the records."""
    # Records are named here as well: fixtures of a session come before the environment is set.
    records = tmp_path_factory.getbasetemp() / "records"
    return {**TINY, "data_root": str(shared_camvid_tree), "records_dir": str(records)}


@pytest.fixture(scope="session")
def tiny_config(tiny_keys: dict[str, Any]) -> Callable[..., config_dict.ConfigDict]:
    """Function that gives the tiny configuration of a variant, complete; arguments are keys."""
    get_config = runpy.run_path(str(ROOT / "configs" / "camvid_scratch.py"))["get_config"]

    def make(variant: str = "max_square_iw_multi", **keys: Any) -> config_dict.ConfigDict:
        config = get_config(variant)
        config.update_from_flattened_dict({**tiny_keys, **keys})
        return complete(config)

    return make


@pytest.fixture(scope="session")
def random_variables() -> Callable[..., Any]:
    """Function that gives a network variables that all differ, in a range that keeps it tame."""

    def draw(model: Any, seed: int = 0) -> Any:
        rng = np.random.default_rng(seed)
        return jax.tree.map(
            lambda leaf: jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), leaf.dtype),
            abstract_variables(model),
        )

    return draw


@pytest.fixture
def x64() -> Iterator[None]:
    """Computes in double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers for every test."""
    return np.random.default_rng(0)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Function that mounts a small file system in memory with options, or changes its options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no file system can be mounted here ({error})")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)
