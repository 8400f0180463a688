"""The rules, as pure functions over a bundle; each module holds one group of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nodrop.check.finding import Hit
from nodrop.check.rules import (
    command,
    disruption,
    ending,
    fields,
    machine,
    probes,
    replicas,
    server,
    strategy,
    traffic,
)
from nodrop.check.rules.case import Case

#: Every rule that looks at manifests, by its id. (ND0… are about comments: see ignores.py.)
RULES: dict[str, Callable[[Case], Iterator[Hit]]] = {
    **strategy.RULES,
    **probes.RULES,
    **ending.RULES,
    **command.RULES,
    **server.RULES,
    **traffic.RULES,
    **disruption.RULES,
    **replicas.RULES,
    **fields.RULES,
    **machine.RULES,
}
