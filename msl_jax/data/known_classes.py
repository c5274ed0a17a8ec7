"""The classes that a network was trained to tell apart, compared with those that data have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from msl_jax.data.labels import LabelSet
from msl_jax.runtime.errors import UserError

_ADVICE = (
    "Give the class file or folders as they were, name a list for both domains"
    " (--config.classes_file=FILE), or train again in another --workdir."
)


class ReadList(NamedTuple):
    """The list by which a training read the labels of a domain.

    Attributes:
        classes: with the ids and colours of the domain's label files.
        file: where they were listed; empty where that is not known.
    """

    classes: LabelSet
    file: str = ""


class KnownClasses(NamedTuple):
    """What a network tells apart, and what its training read.

    Attributes:
        classes: in the order of its outputs.
        whose: what they belong to, for messages.
        lists: by domain, ``"source"`` or ``"target"``, where users list the classes in a file.
        advice: what to do about other classes.
    """

    classes: LabelSet
    whose: str
    lists: Mapping[str, ReadList] = MappingProxyType({})
    advice: str = _ADVICE

    def expect(self, found: LabelSet, where: str) -> None:
        """Checks that classes have the same names in the same order.

        Args:
            found: the ones to compare.
            where: what they belong to, for the message.

        Raises:
            UserError: they differ; shows both lists.
        """
        if self.classes.names == found.names:
            return
        raise UserError(
            f"{self.whose} and {where} have different classes:\n"
            f"  {self.whose}: {', '.join(self.classes.names)}\n"
            f"  {where}: {', '.join(found.names)}\n"
            f"Their order counts: it is that of the network's outputs. {self.advice}"
        )

    def remarks_on(self, found: LabelSet, file: str, domain: str, where: str) -> list[str]:
        """Compares ids and colours in label files; the names are the same.

        Args:
            found: what a class file lists now.
            file: the class file.
            domain: whose labels it is for.
            where: the split whose labels are read by it.

        Returns:
            What differs from what the training read, and changes no label or is listed in another
            file: other data may rightly have other ids.

        Raises:
            UserError: labels would be read as other classes than before, by the same file.
        """
        known = self.lists.get(domain)
        changes = _changes(known.classes, found) if known else []
        if known is None or not changes:
            return []
        shown = "\n  ".join(changes)
        if known.file == file and _misread(known.classes, found):
            raise UserError(
                f"{file} has changed since {self.whose} was trained, and the labels of {where} are"
                f" read by it:\n  {shown}\nThey would be read as other classes. Put the file back"
                " as it was; labels in other ids need a list of their own,"
                " --config.classes_file=FILE."
            )
        return [
            f"{where}: its labels are read by {file}, not as those of the {domain} that"
            f" {self.whose} was trained with: {'; '.join(changes)}"
        ]


def _changes(before: LabelSet, now: LabelSet) -> list[str]:
    """Which ids and colours are others, as far as both are known."""
    changes = [
        f"{old.name}: {what} {values[0]} -> {values[1]}"
        for old, new in zip(before.classes, now.classes, strict=True)
        for what, values in (("id", (old.id, new.id)), ("colour", (old.color, new.color)))
        if None not in values and values[0] != values[1]
    ]
    if set(before.ignored) != set(now.ignored):
        changes.append(f"ignored: {_values(before.ignored)} -> {_values(now.ignored)}")
    return changes


def _values(values: Sequence[object]) -> str:
    return ", ".join(map(str, values)) or "none"


def _misread(before: LabelSet, now: LabelSet) -> bool:
    """Whether an id or colour that stood for one class stands for another one."""
    meanings = {value: c.name for c in before.classes for value in (c.id, c.color)}
    changed = {value: c.name for c in now.classes for value in (c.id, c.color)}
    shared = (meanings.keys() & changed.keys()) - {None}
    return any(meanings[value] != changed[value] for value in shared)
