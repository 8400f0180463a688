"""What an Ingress asks for in vain: to be told as an Event."""

from __future__ import annotations

from typing import NamedTuple

from nodrop.events import Reason
from nodrop.model.meta import Obj


class Finding(NamedTuple):
    """One sentence about one Ingress, with the field and the value that are meant."""

    namespace: str
    ingress: str
    reason: Reason
    text: str

    @staticmethod
    def about(ingress: Obj, reason: Reason, text: str) -> Finding:
        meta = ingress["metadata"]
        return Finding(meta.get("namespace", ""), meta["name"], reason, text)

    def concerns(self, ingress: Obj) -> bool:
        meta = ingress["metadata"]
        return (self.namespace, self.ingress) == (meta.get("namespace", ""), meta["name"])
