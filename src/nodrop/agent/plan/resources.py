"""What resourceFieldRef stands for: a container's limit or request as a whole number. Pure."""

from __future__ import annotations

import math

from nodrop.model.meta import Obj
from nodrop.model.quantity import parse_quantity


def resource_value(resources: Obj, reference: Obj, *, cpus: int, memory_bytes: int) -> str:
    """The value in units of the divisor, rounded up.

    A limit that isn't set is what the machine has, a request that isn't set 0. Raises KeyError
    for a resource that upstream doesn't know either.

    >>> cpu = {"resource": "limits.cpu", "divisor": "1m"}
    >>> resource_value({"limits": {"cpu": "1500m"}}, cpu, cpus=4, memory_bytes=0)
    '1500'
    """
    section, _, name = reference["resource"].partition(".")
    if section not in ("limits", "requests") or not name:
        raise KeyError(reference["resource"])
    amount = (resources.get(section) or {}).get(name)
    if amount is None:
        machine = {"cpu": cpus, "memory": memory_bytes, "ephemeral-storage": 0}[name]
        amount = machine if section == "limits" else 0
    divisor = parse_quantity(reference.get("divisor") or "1")
    return str(math.ceil(parse_quantity(amount) / (divisor or 1)))
