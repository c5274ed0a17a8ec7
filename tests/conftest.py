"""What all tests share: strict arithmetic, two devices, a kept compilation cache."""

import os
import tempfile
from pathlib import Path

# Before JAX starts: two CPU devices, so that nothing works on one device alone.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import jax
import pytest

CACHE = Path(tempfile.gettempdir()) / "msl_jax_test_compilation_cache"
SHARED = Path(__file__).parent.parent.parent / "shared"

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(scope="session")
def camvid_root() -> Path:
    """The real CamVid frames, where they lie beside the project."""
    root = SHARED / "camvid"
    if not root.is_dir():
        pytest.skip("the real CamVid frames are not here (expected in ../shared/camvid)")
    return root


@pytest.fixture(autouse=True)
def records_dir(tmp_path_factory, monkeypatch) -> Path:
    """Records go to a folder of this test session, never to the user's."""
    folder = tmp_path_factory.getbasetemp() / "records"
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder
