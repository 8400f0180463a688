"""``nodrop up`` warns of an Ingress whose certificate is not there."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.check.cluster import Cluster, Name, cluster_warnings

INGRESS: dict[str, Any] = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"ingressClassName": "nodrop", "tls": [{"hosts": ["a.test"], "secretName": "a-tls"}]},
}
CLASS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "nodrop"},
    "spec": {"controller": "nodrop.dev/ingress"},
}


def secret(namespace: str, name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name},
    }


@pytest.mark.parametrize(
    ("secrets", "warned"),
    [
        ([], True),
        ([secret("other", "a-tls")], True),
        ([secret("shop", "a-tls")], False),
        (None, False),
    ],
)
def test_a_missing_secret_is_told_with_its_field(
    secrets: list[dict[str, Any]] | None, warned: bool
) -> None:
    cluster = Cluster(ingresses=[INGRESS], classes=[CLASS], secrets=secrets)
    told = cluster_warnings([Name("Ingress", "shop", "web")], cluster)
    assert [
        one for one in told if "spec.tls[0].secretName: there is no Secret shop/a-tls" in one
    ] == (told if warned else [])
    assert bool(told) == warned
