"""What ``nodrop status`` says about certificates that expire."""

from __future__ import annotations

import asyncio
from typing import cast

from nodrop.cli.status import _certificates
from nodrop.client.http import HttpClient
from nodrop.client.protocol import ALL, Page, Scope
from nodrop.model.errors import ApiError
from nodrop.model.kinds import SECRET, Kind
from nodrop.model.meta import Obj, Revision
from tests.unit.proxy.objects import ingress, path
from tests.unit.proxy.test_expiry import PAST, SHOP, secret


class Server:
    """Has one Secret, or says that the user may not read it."""

    def __init__(self, *, forbidden: bool = False) -> None:
        self.forbidden = forbidden
        self.asked = 0

    async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
        assert kind == SECRET
        self.asked += 1
        if self.forbidden:
            raise ApiError(403, "Forbidden", "no")
        return Page((secret(leaf=PAST),), Revision(1))


def said(server: Server, *ingresses: Obj) -> list[str]:
    return asyncio.run(_certificates(cast("HttpClient", server), ingresses, ()))


def test_an_expired_certificate_is_told_with_its_ingress() -> None:
    (line,) = said(Server(), SHOP)
    assert line.startswith('Ingress default/ing: spec.tls[0].secretName: "shop": the certificate ')
    assert "expired" in line


def test_who_may_not_read_secrets_is_told_nothing() -> None:
    assert said(Server(forbidden=True), SHOP) == []


def test_secrets_are_not_asked_for_without_need() -> None:
    server = Server()
    assert said(server, ingress(path("/"))) == []
    assert server.asked == 0
