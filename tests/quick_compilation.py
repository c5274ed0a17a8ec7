"""Programs that are compiled in a fifth of the time, for tests of whole runs.

What the optimised programs compute is tested elsewhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import jax
import jaxlib
import pytest
from jax._src import compiler

# XLA's code generators for fused loops: compiling takes three times as long with them. XLA ends a
# process that gives it a flag it does not know, so that only versions that were tried get it.
_EMITTERS = "xla_cpu_use_fusion_emitters"
_KNOWN = jaxlib.__version__.startswith("0.10.")


def environment(devices: int | None = None) -> dict[str, str]:
    """Variables for a process with so many devices, by default as many as here."""
    flags = os.environ.get("XLA_FLAGS", "")
    if devices is not None:
        flags = f"--xla_force_host_platform_device_count={devices}"
    if _KNOWN:
        flags += f" --{_EMITTERS}=false"
    return {"JAX_DISABLE_MOST_OPTIMIZATIONS": "true", "XLA_FLAGS": flags}


@contextlib.contextmanager
def quick_compilation() -> Iterator[None]:
    """What is compiled meanwhile in this process."""
    before = jax.config.read("jax_disable_most_optimizations")
    compile_options = compiler.get_compile_options

    def without_emitters(*arguments: Any, **options: Any) -> Any:
        made = compile_options(*arguments, **options)
        made.env_option_overrides = [*made.env_option_overrides, (_EMITTERS, False)]
        return made

    with pytest.MonkeyPatch.context() as patch:
        if _KNOWN:
            patch.setattr(compiler, "get_compile_options", without_emitters)
        jax.config.update("jax_disable_most_optimizations", True)
        try:
            yield
        finally:
            jax.config.update("jax_disable_most_optimizations", before)
