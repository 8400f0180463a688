"""appProtocol and port names choose what is spoken."""

from __future__ import annotations

import pytest

from nodrop.proxy.protocols import protocol_of
from nodrop.proxy.routing import plan_table
from nodrop.proxy.sources import Sources
from tests.unit.proxy.objects import service


@pytest.mark.parametrize(
    ("name", "app_protocol", "spoken"),
    [
        ("", "", "http"),
        ("web", "", "http"),
        ("http", "", "http"),
        ("http-admin", "", "http"),
        ("grpc", "", "h2c"),
        ("grpc-api", "", "h2c"),
        ("grpc-web", "", "http"),
        ("h2c", "", "h2c"),
        ("http2-x", "", "h2c"),
        ("https", "", "https"),
        ("tcp", "", "tcp"),
        ("tcp-echo", "", "tcp"),
        ("redis", "", "tcp"),
        ("tcpdump", "", "http"),
        ("tcp", "http", "http"),
        ("x", "kubernetes.io/h2c", "h2c"),
        ("x", "kubernetes.io/ws", "http"),
        ("x", "kubernetes.io/wss", "https"),
        ("x", "GRPC", "h2c"),
        ("x", "mysql", "tcp"),
        ("x", "example.com/own", "tcp"),
    ],
)
def test_protocol_of(name: str, app_protocol: str, spoken: str) -> None:
    assert protocol_of({"name": name, "appProtocol": app_protocol}) == spoken


def test_the_table_says_what_is_not_plain_http() -> None:
    ports = [{"port": 80, "name": "web"}, {"port": 81, "name": "tcp-x"}]
    config = {"clientIP": {"timeoutSeconds": 60}}
    one = service(ports=ports, sessionAffinity="ClientIP", sessionAffinityConfig=config)
    table = plan_table(Sources(services=[one]))
    assert {pool.port: found for pool, found in table.protocols.items()} == {81: "tcp"}
    assert {pool.port: found for pool, found in table.affinity.items()} == {80: 60, 81: 60}
    assert not plan_table(Sources(services=[service()])).affinity
