from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from msl_jax.runtime.errors import UserError
from msl_jax.weights import safetensors_files

ARRAYS = {"b.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.count": np.array(7)}
DESCRIPTION = {"depth": 14, "rates": [6, 12], "classes": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def test_there_and_back(path: Path) -> None:
    safetensors_files.write(path, ARRAYS, DESCRIPTION)
    found, description = safetensors_files.read(path)
    assert description == DESCRIPTION
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_a_transposed_array_keeps_its_numbers(path: Path) -> None:
    safetensors_files.write(path, {"a": ARRAYS["b.weight"].T}, DESCRIPTION)
    np.testing.assert_array_equal(safetensors_files.read(path)[0]["a"], ARRAYS["b.weight"].T)


def test_file_may_be_read_by_others(path: Path) -> None:
    safetensors_files.write(path, ARRAYS, DESCRIPTION)
    (path.parent / "other").write_text("")
    assert path.stat().st_mode == (path.parent / "other").stat().st_mode


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_precision(path: Path, dtype: type) -> None:
    array = np.array([1 / 3, 1e4]).astype(dtype)
    save_file({"a": array}, path)
    np.testing.assert_array_equal(safetensors_files.read(path)[0]["a"], array, strict=True)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_file_of_others(path: Path, metadata: dict[str, str] | None) -> None:
    save_file(ARRAYS, path, metadata=metadata)
    found, description = safetensors_files.read(path)
    assert description is None
    assert set(found) == set(ARRAYS)


@pytest.mark.parametrize("text", [json.dumps(DESCRIPTION)[:-1], "[" * 100_000], ids=["cut", "deep"])
def test_damaged_description(path: Path, text: str) -> None:
    save_file(ARRAYS, path, metadata={"msl_jax": text})
    with pytest.raises(
        UserError, match=r"weights\.safetensors: no safetensors file that can be read"
    ):
        safetensors_files.read(path)


@pytest.mark.parametrize("end", [0, 4, 8, 30, -1])
def test_truncated(path: Path, end: int) -> None:
    save_file(ARRAYS, path)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(UserError, match=r"can be read .*: it is truncated, damaged or"):
        safetensors_files.read(path)


@pytest.mark.parametrize("content", [b"\xff" * 100, b"\x89PNG\r\n\x1a\n" + bytes(200)])
def test_other_kind(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match="no safetensors file that can be read"):
        safetensors_files.read(path)
