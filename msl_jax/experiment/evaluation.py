"""The evaluation of a run, on both domains or one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ml_collections.config_dict import ConfigDict

from msl_jax.data.known_classes import KnownClasses, ReadList
from msl_jax.data.prepared.records import Records
from msl_jax.data.splits import load_split
from msl_jax.tasks.registry import task_of

DOMAINS = ("target", "source")


class DomainEvaluation:
    """Metrics of a network on the evaluation splits of the domains, where they have labels."""

    def __init__(
        self,
        config: ConfigDict,
        model: Any,
        known: KnownClasses | None = None,
        domains: Sequence[str] = DOMAINS,
    ) -> None:
        """Opens the splits.

        Args:
            config: complete.
            model: its network.
            known: what the network was trained to tell apart; None: what the splits have.
            domains: one or both of `DOMAINS`; of the other, no file is asked for.

        Raises:
            UserError: a split or its files are not as they should be, or its classes are others.
        """
        self.splits = {
            domain: load_split(config, f"{domain}_eval", evaluation=True, known=known)
            for domain in domains
        }
        self.label_set = self.splits[domains[0]].label_set
        first = KnownClasses(self.label_set, config[f"{domains[0]}_eval"])
        for domain, split in self.splits.items():
            first.expect(split.label_set, config[f"{domain}_eval"])
        self._measure = task_of(config).measure(config, model, self.label_set.names)

    def __call__(self, variables: Any) -> dict[str, Any]:
        """``{"target": M, "source": M}``, None for a domain without labels or left out."""
        return {
            domain: self._measure(variables, self.splits[domain].records, domain)
            if domain in self.splits and self.splits[domain].labelled
            else None
            for domain in DOMAINS
        }

    @property
    def lists(self) -> dict[str, ReadList]:
        """The lists that users made, by domain; see `KnownClasses`."""
        return {
            domain: ReadList(split.label_set, split.class_file)
            for domain, split in self.splits.items()
            if split.class_file
        }

    @property
    def records(self) -> dict[str, Records]:
        """Those of each domain."""
        return {domain: split.records for domain, split in self.splits.items()}
