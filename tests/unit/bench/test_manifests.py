"""The measured services are valid, and the peer's configuration names what it is given."""

from pathlib import Path

import pytest

from bench.manifests import constant, hello
from bench.peers import PLAIN, SAME_PROMISES, caddyfile, static_config, traefik_dynamic
from nodrop.model.kinds import kind_of
from nodrop.model.meta import Obj
from nodrop.model.schema import decode_strictness


@pytest.mark.parametrize(
    "objects",
    [
        hello(4, env={"ON_SIGTERM": "exit"}, pod={"terminationGracePeriodSeconds": 3}),
        constant(Path("/x/haproxy"), Path("/x/constant.cfg"), replicas=100),
    ],
)
def test_measured_services_have_no_unknown_or_wrong_field(objects: list[Obj]) -> None:
    assert [obj["kind"] for obj in objects] == ["Deployment", "Service", "Ingress"]
    for obj in objects:
        kind = kind_of(obj["apiVersion"], obj["kind"])
        assert kind is not None
        found = decode_strictness(obj, kind)
        assert found.fine


def test_a_soak_can_change_the_environment_of_hello() -> None:
    deployment, *_ = hello(4, version="v7", env={"ON_SIGTERM": "exit"})
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "ON_SIGTERM", "value": "exit"} in env
    assert {"name": "VERSION", "value": "v7"} in env


def test_the_static_peer_has_every_backend_and_nothing_of_ours() -> None:
    config = static_config(18080, ["127.16.0.2", "127.16.0.3"], PLAIN)
    assert "bind 127.0.0.1:18080" in config
    assert [line.split()[-1] for line in config.splitlines() if line.startswith("  server ")] == [
        "127.16.0.2:8080",
        "127.16.0.3:8080",
    ]
    assert "map" not in config
    assert "retry-on" not in config


def test_the_second_peer_differs_by_its_promises_only() -> None:
    plain, same = (static_config(1, ["127.16.0.2"], rules) for rules in (PLAIN, SAME_PROMISES))
    more = [line.strip() for line in same.splitlines() if line not in plain.splitlines()]
    server = f"server s0 127.16.0.2:8080{SAME_PROMISES.server}"
    assert more == [*SAME_PROMISES.defaults, *SAME_PROMISES.frontend, server]


def test_caddy_and_traefik_have_every_backend() -> None:
    addresses = ["127.16.0.2", "127.16.0.3"]
    assert "reverse_proxy 127.16.0.2:8080 127.16.0.3:8080" in caddyfile(1, addresses)
    balanced = traefik_dynamic(addresses)["http"]["services"]["app"]["loadBalancer"]
    assert [server["url"] for server in balanced["servers"]] == [
        "http://127.16.0.2:8080",
        "http://127.16.0.3:8080",
    ]
