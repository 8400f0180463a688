"""Tokens of service accounts: what they say, and when they are worth nothing any more."""

from __future__ import annotations

import base64
import random
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from nodrop.apiserver.accounts import ISSUER, AccountTokens
from nodrop.apiserver.auth import Auth
from nodrop.apiserver.jws import SigningKey
from nodrop.model.errors import ApiError
from nodrop.model.kinds import POD, SERVICEACCOUNT
from nodrop.model.meta import Obj
from nodrop.registry.interface import Allocation, DeleteOptions
from nodrop.registry.verbs import Registry
from nodrop.store.sqlite import SqliteStore
from tests.unit.registry.world import StandingClock, World, key

BOT = key(SERVICEACCOUNT, "bot")
NAME = "system:serviceaccount:default:bot"


@pytest.fixture
def world() -> Iterator[World]:
    store, clock = SqliteStore(":memory:"), StandingClock()
    allocation = Allocation(pod_cidr="127.64.0.0/16", service_cidr="127.65.0.0/29")
    world = World(store, clock, Registry(store, clock, allocation, random.Random(1)))
    world.create(named("ServiceAccount", "bot"))
    yield world
    store.close()


@pytest.fixture
def tokens(world: World, tmp_path: Path) -> AccountTokens:
    return AccountTokens(SigningKey(tmp_path / "sa.key"), world.registry, world.clock)


def named(kind: str, name: str, **fields: Any) -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def pod(name: str, account: str) -> Obj:
    containers = [{"name": "app", "image": "i"}]
    return named("Pod", name, spec={"serviceAccountName": account, "containers": containers})


def asked(**spec: Any) -> Obj:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}


def given(tokens: AccountTokens, **spec: Any) -> str:
    return str(tokens.requested(BOT, asked(**spec))["status"]["token"])


def test_a_token_says_whose_it_is(tokens: AccountTokens, world: World) -> None:
    answered = tokens.requested(BOT, asked())
    assert answered["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600}
    assert answered["status"]["expirationTimestamp"] == "2026-11-23T11:00:00Z"
    user = Auth("owner's", accounts=tokens).user(f"Bearer {answered['status']['token']}", None)
    assert user is not None
    assert user.name == NAME
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default")
    assert user.uid == world.get(SERVICEACCOUNT, "bot")["metadata"]["uid"]
    assert dict(user.extra)["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


def test_another_engine_with_the_same_key_knows_it(
    tokens: AccountTokens, world: World, tmp_path: Path
) -> None:
    """After a restart, that is; another key's tokens are nobody's."""
    token = given(tokens)
    again = AccountTokens(SigningKey(tmp_path / "sa.key"), world.registry, world.clock)
    assert again.user(token) is not None
    assert stat.S_IMODE((tmp_path / "sa.key").stat().st_mode) == 0o600
    for path in ("other.key", "none.key"):
        other = AccountTokens(SigningKey(tmp_path / path), world.registry, world.clock)
        if path == "other.key":
            other.requested(BOT, asked())
        assert other.user(token) is None
    assert not (tmp_path / "none.key").exists(), "to verify makes no key"


def test_it_ends_with_its_time(tokens: AccountTokens, world: World) -> None:
    token = given(tokens, expirationSeconds=600)
    world.clock.advance(599)
    assert tokens.user(token) is not None
    world.clock.advance(1)
    assert tokens.user(token) is None


def test_it_ends_with_its_account(tokens: AccountTokens, world: World) -> None:
    """One of the same name is another one."""
    token = given(tokens)
    assert tokens.user(token) is not None
    world.delete(SERVICEACCOUNT, "bot")
    assert tokens.user(token) is None
    world.create(named("ServiceAccount", "bot"))
    assert tokens.user(token) is None


def test_it_ends_with_what_it_is_bound_to(tokens: AccountTokens, world: World) -> None:
    uid = world.create(pod("web", "bot"))["metadata"]["uid"]
    token = given(tokens, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "web"})
    user = tokens.user(token)
    assert user is not None
    assert dict(user.extra)["authentication.kubernetes.io/pod-uid"] == (uid,)
    world.patch(POD, "web", {"status": {"startTime": "2026-11-23T10:00:00Z"}}, "status")
    world.delete(POD, "web")
    assert tokens.user(token) is not None, "a pod that ends may still speak"
    world.delete(POD, "web", DeleteOptions(grace_period_s=0))
    assert tokens.user(token) is None


def test_other_audiences_are_not_this_api(tokens: AccountTokens) -> None:
    token = given(tokens, audiences=["vault"])
    assert tokens.user(token) is None
    holder = tokens.holder(token)
    assert holder is not None
    assert (holder.user.name, holder.audiences) == (NAME, ("vault",))


@pytest.mark.parametrize(
    ("spec", "code", "told"),
    [
        ({"expirationSeconds": 599}, 422, "may not specify a duration less than 10 minutes"),
        ({"expirationSeconds": 2**32 + 1}, 422, "may not specify a duration larger than 2^32"),
        ({"expirationSeconds": "1h"}, 400, "spec.expirationSeconds"),
        ({"audiences": "a"}, 400, "spec.audiences"),
        ({"boundObjectRef": "web"}, 400, "spec.boundObjectRef"),
        ({"boundObjectRef": {"kind": "Node"}}, 422, "spec.boundObjectRef.kind"),
        ({"boundObjectRef": {"kind": "Pod", "name": "none"}}, 404, 'pods "none" not found'),
        ({"boundObjectRef": {"kind": "Pod", "name": "web", "uid": "x"}}, 409, "UID"),
        ({"boundObjectRef": {"kind": "Pod", "name": "other"}}, 400, "different serviceaccount"),
    ],
)
def test_bad_wishes(tokens: AccountTokens, world: World, spec: Obj, code: int, told: str) -> None:
    world.create(pod("web", "bot"))
    world.create(pod("other", "robot"))
    with pytest.raises(ApiError) as caught:
        tokens.requested(BOT, asked(**spec))
    assert caught.value.code == code
    assert told in str(caught.value)


def test_no_account_no_token(tokens: AccountTokens) -> None:
    with pytest.raises(ApiError, match='serviceaccounts "none" not found'):
        tokens.requested(key(SERVICEACCOUNT, "none"), asked())


def part(content: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(content)).rstrip(b"=").decode()


def test_forged_tokens(tokens: AccountTokens) -> None:
    """Whatever is changed of a token: it is nobody's. So is what is no token."""
    token = given(tokens)
    header, claims, signature = token.split(".")
    said = msgspec.json.decode(base64.urlsafe_b64decode(claims + "=="))
    more = part({**said, "exp": said["exp"] + 1})
    none = part({"alg": "none", "kid": "x"})
    forged = [
        f"{header}.{more}.{signature}",
        f"{none}.{claims}.",
        f"{none}.{claims}.{signature}",
        f"{header}.{claims}.{signature[:-4]}AAAA",
        f"{header}.{claims}.",
        f"{header}.{claims}",
        "..",
        "a.b.c",
        "",
        "\udcff.\udcff.\udcff",
        f"{part([])}.{part([])}.{signature}",
    ]
    assert [tokens.user(one) for one in forged] == [None] * len(forged)
    assert tokens.user(token) is not None


def test_others_verify_tokens_by_the_public_key(tokens: AccountTokens) -> None:
    """With what a JSON Web Key says and nothing else."""
    jwk = tokens.public_key()
    token = tokens.issue(BOT).token
    signed, _, signature = token.rpartition(".")
    header = msgspec.json.decode(unpadded(signed.split(".")[0]))
    assert (header["alg"], header["kid"]) == (jwk["alg"], jwk["kid"])
    x, y = (int.from_bytes(unpadded(jwk[name]), "big") for name in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raw = unpadded(signature)
    halves = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    public.verify(encode_dss_signature(*halves), signed.encode(), ec.ECDSA(hashes.SHA256()))
    assert jwk.keys() == {"use", "alg", "kid", "kty", "crv", "x", "y"}  # and nothing private


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
