"""What is worth a warning once it has lasted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

LASTING = 5  # times in a row


class Concerns:
    """Watches the metrics of a stage for what its method is concerned about.

    >>> concerns = Concerns(lambda metrics: "too low" if metrics["loss"] < 1 else "")
    >>> [concerns({"loss": loss}) for loss in (2.0, *[0.5] * 6)]
    ['', '', '', '', '', 'too low', '']
    """

    def __init__(self, concern: Callable[[Mapping[str, float]], str]) -> None:
        """See `msl_jax.methods.method.Method.concern`."""
        self._concern, self._times = concern, 0

    def __call__(self, metrics: Mapping[str, float]) -> str:
        """The concern when it has been there `LASTING` times in a row, else an empty text."""
        found = self._concern(metrics)
        self._times = self._times + 1 if found else 0
        return found if self._times == LASTING else ""
