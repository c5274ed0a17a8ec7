"""The evaluation of a run, on both domains."""

from __future__ import annotations

from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.data.prepared.records import Records
from msl_jax.data.splits import load_split
from msl_jax.tasks.registry import task_of


class DomainEvaluation:
    """Metrics of a network on the evaluation splits of both domains, where they have labels."""

    def __init__(self, config: ConfigDict, model: Any) -> None:
        """Opens both splits.

        Raises:
            UserError: a split or its files are not as they should be.
        """
        self.records: dict[str, Records] = {}
        self._labelled: set[str] = set()
        for domain in ("target", "source"):
            split = load_split(config, f"{domain}_eval", evaluation=True)
            self.records[domain], self.label_set = split.records, split.label_set
            if split.labelled:
                self._labelled.add(domain)
        self._measure = task_of(config).measure(config, model, self.label_set.names)

    def __call__(self, variables: Any) -> dict[str, Any]:
        """``{"target": M, "source": M}``, None for a domain without labels."""
        return {
            domain: self._measure(variables, records, domain) if domain in self._labelled else None
            for domain, records in self.records.items()
        }
