"""The tokens that a pod's volumes hold: asked for once, and again before they end."""

from __future__ import annotations

from datetime import datetime, timedelta

from nodrop.agent.api_access import AccountToken
from nodrop.agent.plan.volumes import VolumeFailure
from nodrop.agent.pod_context import PodContext
from nodrop.model.errors import ApiError

#: As the kubelet does: after four fifths of its life, and at least once a day.
_USED_SHARE = 0.8
_LONGEST_USE = timedelta(hours=24)


class PodTokens:
    def __init__(self, pod: PodContext) -> None:
        self._pod = pod
        self._tokens: dict[tuple[str, int], AccountToken] = {}

    def text(self, audience: str, life_s: int) -> str:
        """The token for ``audience``, a new one when it is time. Raises VolumeFailure."""
        host, key = self._pod.host, (audience, life_s)
        held = self._tokens.get(key)
        if held is None or host.clock.now() >= renew_at(held):
            try:
                held = self._tokens[key] = host.api.token(self._pod.pod, audience, life_s)
            except ApiError as error:
                raise VolumeFailure(f"failed to fetch token: {error}") from error
        return held.text

    def next_renewal(self) -> datetime | None:
        """When the first of them is to be asked for again; None when there are none."""
        return min((renew_at(token) for token in self._tokens.values()), default=None)


def renew_at(token: AccountToken) -> datetime:
    """When a token is to be replaced by a new one."""
    used = (token.expires - token.issued) * _USED_SHARE
    return token.issued + min(used, _LONGEST_USE)
