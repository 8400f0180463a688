"""What a rule says about a manifest: levels, rules' cards, hits and findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nodrop.check.position import Path, Position
from nodrop.check.source import Document

Level = Literal["error", "warning", "info"]
Target = Literal["nodrop", "cluster"]

#: From the least to the worst.
LEVELS: tuple[Level, ...] = ("info", "warning", "error")
BOTH: frozenset[Target] = frozenset({"nodrop", "cluster"})
CLUSTER: frozenset[Target] = frozenset({"cluster"})
NODROP: frozenset[Target] = frozenset({"nodrop"})


def at_least(level: Level, floor: Level) -> bool:
    """Whether ``level`` is as bad as ``floor`` or worse."""
    return LEVELS.index(level) >= LEVELS.index(floor)


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a rule without running it. ``statements`` are those of the mission."""

    id: str
    name: str
    title: str
    level: Level
    targets: frozenset[Target] = BOTH
    statements: tuple[str, ...] = ()
    fixable: bool = False

    def holds_for(self, targets: frozenset[Target]) -> bool:
        """Whether the rule is judged when manifests are meant for ``targets``.

        What nodrop alone lacks is no fault of a manifest that is meant for a cluster too.
        """
        return targets == NODROP if self.targets == NODROP else bool(self.targets & targets)

    @property
    def page(self) -> str:
        """The rule's page, from the root of the project."""
        return f"docs/reference/rules/{self.id}-{self.name}.md"


# Changes that mend a finding: what is to be different, not yet where in the text.


@dataclass(frozen=True, slots=True)
class RenameKey:
    """The field at ``path`` gets another name."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class SetValue:
    """The field at ``path`` gets this value; it is added where it is absent."""

    path: Path
    value: object


@dataclass(frozen=True, slots=True)
class Prefix:
    """The text of the scalar at ``path`` gets these words before it."""

    path: Path
    words: str


Change = RenameKey | SetValue | Prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What a rule found. ``level`` only where it differs from the rule's own."""

    document: Document
    path: Path
    message: str
    mend: str
    level: Level | None = None
    fix: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A hit with its rule and its position: what is shown."""

    card: Card
    level: Level
    document: Document
    path: Path
    position: Position
    message: str
    mend: str
    fix: tuple[Change, ...] = ()

    @property
    def file(self) -> str:
        return self.document.file

    @property
    def subject(self) -> str:
        """The object as a person names it: ``Deployment web``."""
        metadata = self.document.obj["metadata"]
        return f"{self.document.obj['kind']} {metadata.get('name') or metadata['generateName']}"
