"""How the agent gets tokens with which pods speak to the API server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from nodrop.model.meta import Obj


@dataclass(frozen=True, slots=True)
class AccountToken:
    """A token, with its life."""

    text: str
    issued: datetime
    expires: datetime


class ApiAccess(Protocol):
    """The API server as pods of this machine reach it."""

    def address(self) -> tuple[str, int]:
        """Host and port."""
        ...

    def token(self, pod: Obj, audience: str, life_s: int) -> AccountToken:
        """A token of the pod's service account, bound to the pod; ``audience`` "" is the API.

        Raises ApiError 404 when there is no such account.
        """
        ...


class NoAccess:
    """For worlds without an API server: nobody asks for its address, and there are no tokens."""

    def address(self) -> tuple[str, int]:
        return "", 0

    def token(self, pod: Obj, audience: str, life_s: int) -> AccountToken:
        never = datetime.max.replace(tzinfo=timezone.utc)
        return AccountToken("", never, never)
