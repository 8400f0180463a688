"""Certificates of Ingresses that expire are told two weeks before, every day."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone

import pytest
import trustme

from nodrop.model.meta import Obj
from nodrop.proxy.expiry import plan_expiry
from tests.unit.proxy.objects import ingress, path

EXPIRES = datetime(2027, 3, 1, 12, 0, 0, tzinfo=timezone.utc)
LEAF = trustme.CA().issue_cert("shop.example", not_after=EXPIRES)
PAST = trustme.CA().issue_cert(
    "shop.example", not_before=EXPIRES - timedelta(days=9000), not_after=EXPIRES - timedelta(8000)
)
SHOP = ingress(path("/"), host="shop.example", tls=[{"secretName": "shop"}])

OTHERS = {
    "kind": "IngressClass",
    "metadata": {"name": "nginx"},
    "spec": {"controller": "k8s.io/ingress-nginx"},
}


def secret(name: str = "shop", *, leaf: trustme.LeafCert = LEAF, **changed: str) -> Obj:
    data = {
        "tls.crt": "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems),
        "tls.key": leaf.private_key_pem.bytes().decode(),
    } | {f"tls.{key}": value for key, value in changed.items()}
    return {
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
    }


@pytest.mark.parametrize(
    ("before", "reason", "said"),
    [
        (timedelta(days=15), "", ""),
        (timedelta(days=14, seconds=1), "", ""),
        (timedelta(days=14), "CertificateExpiring", "expires in 14 days, at 2027-03-01T12:00:00Z"),
        (timedelta(days=1), "CertificateExpiring", "expires in 1 day, at"),
        (timedelta(seconds=1), "CertificateExpiring", "expires in less than a day, at"),
        (
            timedelta(0),
            "CertificateExpired",
            "expired less than a day ago, at 2027-03-01T12:00:00Z",
        ),
        (timedelta(days=-3), "CertificateExpired", "expired 3 days ago, at"),
    ],
)
def test_when_it_is_told(before: timedelta, reason: str, said: str) -> None:
    found = plan_expiry([SHOP], [], [secret()], EXPIRES - before)
    assert [str(one.reason) for one in found] == ([reason] if reason else [])
    for one in found:
        assert one.text.startswith('spec.tls[0].secretName: "shop": the certificate ' + said)


def test_only_what_is_served_here_and_can_be_read_and_each_once() -> None:
    def told(ingress: Obj, *secrets: Obj) -> int:
        return len(plan_expiry([ingress], [OTHERS], secrets, EXPIRES))

    assert told(SHOP) == 0
    assert told(SHOP, secret(crt="no")) == 0
    assert told(SHOP, secret("other")) == 0
    twice = ingress(path("/"), tls=[{"secretName": "shop"}, {"secretName": "shop"}, {}])
    assert told(twice, secret()) == 1
    foreign = ingress(path("/"), ingressClassName="nginx", tls=[{"secretName": "shop"}])
    assert told(foreign, secret()) == 0
