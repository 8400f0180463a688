"""The agent's way to tokens: from the API server's own issuer, in the same process."""

from __future__ import annotations

from nodrop.agent.api_access import AccountToken
from nodrop.apiserver.accounts import AccountTokens
from nodrop.clock import Clock
from nodrop.model.kinds import SERVICEACCOUNT
from nodrop.model.meta import Obj, ObjectKey

_HOST = "127.0.0.1"


class LocalApiAccess:
    """``port`` is known once the API server listens, which is before any pod starts."""

    def __init__(self, tokens: AccountTokens, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self.port = 0

    def address(self) -> tuple[str, int]:
        return _HOST, self.port

    def token(self, pod: Obj, audience: str, life_s: int) -> AccountToken:
        name = pod["spec"].get("serviceAccountName") or "default"
        account = ObjectKey(SERVICEACCOUNT, pod["metadata"]["namespace"], name)
        issued = self._tokens.issue(
            account, audiences=(audience,) if audience else (), life_s=life_s, bound=pod
        )
        return AccountToken(issued.token, self._clock.now(), issued.expires)
