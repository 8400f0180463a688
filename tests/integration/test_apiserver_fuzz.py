"""Requests made from the schemas, right and wrong in every part: never a 5xx, the store intact.

``NODROP_FUZZ_REQUESTS=10000`` (and ``NODROP_FUZZ_SEED``) makes the long run of it.
"""

from __future__ import annotations

import json
import logging
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nodrop.client.protocol import ALL
from nodrop.model.definitions import schema_of
from nodrop.model.kinds import KINDS, NAMESPACE, Kind
from nodrop.model.meta import Obj, object_kind
from nodrop.store.sqlite import SqliteStore
from tests.integration.test_apiserver_custom import DEFINITIONS, definition, widget
from tests.properties.odd_objects import KEYS, NUMBERS, TEXTS, mutated, odd_value
from tests.properties.test_odd_objects import valid_objects
from tests.serving import Served, serving, signed_in

REQUESTS = int(os.environ.get("NODROP_FUZZ_REQUESTS", "1500"))
SEED = int(os.environ.get("NODROP_FUZZ_SEED", "20260"))
#: Subresources that hold the connection have tests of their own.
_STREAMS = ("exec", "attach", "portforward", "log")
_CONTENT = (
    "application/json",
    "application/yaml",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/vnd.kubernetes.protobuf",
    "text/plain",
    "",
)
_ACCEPT = (
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "*/*",
    "application/vnd.kubernetes.protobuf",
    "a;b;;=,,",
)
_IMPERSONATED = (
    {"Impersonate-User": "ann"},
    {"Impersonate-User": "system:serviceaccount:default:"},
    {"Impersonate-Group": "system:masters"},
    {"Impersonate-User": "root", "Impersonate-Group": "system:masters"},
    {"Impersonate-User": "root", "Impersonate-Extra-%zz": "%"},
)
_QUERY = {
    "labelSelector": ("app=web", "a in (b,c)", "!x", "a==", "((", "a notin ("),
    "fieldSelector": ("metadata.name=web", "status.phase!=Running", "x=y", "=", ",,"),
    "limit": ("1", "0", "-1", "x", str(2**63)),
    "continue": ("", "x", "W10", "WzEsIiIsIiJd", "%00"),
    "resourceVersion": ("0", "1", "5", "999999999", "-1", "x", "9" * 5000),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x"),
    "dryRun": ("All", "x", ""),
    "fieldManager": ("me", "", "x" * 200),
    "fieldValidation": ("Strict", "Warn", "Ignore", "x"),
    "force": ("true", "x"),
    "gracePeriodSeconds": ("0", "-1", "x", str(2**63), "9" * 5000),
    "timeoutSeconds": ("0", "-1", "x", "9" * 5000),
    "propagationPolicy": ("Foreground", "Orphan", "Background", "x"),
    "sendInitialEvents": ("true", "x"),
    "includeObject": ("Object", "None", "x"),
}
_REVIEWS = "/apis/authorization.k8s.io/v1"
_POD, _SERVICE = "/api/v1/namespaces/default/pods/web", "/api/v1/namespaces/default/services/web"
_ATTRIBUTES = {"namespace": "default", "verb": "get", "group": "", "resource": "pods", "name": "x"}
#: What the kinds' own requests don't reach: method, path, kind of patch, body with every field.
_SPECIAL: tuple[tuple[str, str, str, Obj], ...] = (
    (
        "POST",
        f"{_REVIEWS}/selfsubjectaccessreviews",
        "",
        {"spec": {"resourceAttributes": _ATTRIBUTES, "nonResourceAttributes": None}},
    ),
    (
        "POST",
        f"{_REVIEWS}/subjectaccessreviews",
        "",
        {
            "spec": {
                "user": "ann",
                "uid": "u",
                "groups": ["g"],
                "extra": {"k": ["v"]},
                "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
            }
        },
    ),
    (
        "POST",
        f"{_REVIEWS}/namespaces/default/localsubjectaccessreviews",
        "",
        {
            "metadata": {"namespace": "default"},
            "spec": {"user": "a", "resourceAttributes": _ATTRIBUTES},
        },
    ),
    (
        "POST",
        f"{_REVIEWS}/selfsubjectrulesreviews",
        "",
        {"spec": {"namespace": "default"}},
    ),
    (
        "POST",
        "/apis/authentication.k8s.io/v1/tokenreviews",
        "",
        {"spec": {"token": "a.b.c", "audiences": ["x"]}},
    ),
    ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "", {"metadata": {}}),
    (
        "POST",
        "/api/v1/namespaces/default/serviceaccounts/web/token",
        "",
        {
            "spec": {
                "audiences": ["x"],
                "expirationSeconds": 3600,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": "u"},
            }
        },
    ),
    (
        "POST",
        f"{_POD}/eviction",
        "",
        {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": "web", "namespace": "default"},
            "deleteOptions": {"gracePeriodSeconds": 0, "dryRun": ["All"]},
        },
    ),
    (
        "DELETE",
        _POD,
        "",
        {
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": "u", "resourceVersion": "1"},
            "propagationPolicy": "Orphan",
            "orphanDependents": None,
            "dryRun": ["All"],
        },
    ),
    (
        "PATCH",
        _SERVICE,
        "strategic-merge-patch+json",
        {
            "metadata": {"finalizers": ["a/b"], "$deleteFromPrimitiveList/finalizers": ["a/b"]},
            "spec": {
                "$setElementOrder/ports": [{"port": 80}],
                "$retainKeys": ["ports"],
                "ports": [{"port": 80, "$patch": "delete"}, {"$patch": "replace"}],
            },
        },
    ),
    (
        "PATCH",
        _SERVICE,
        "apply-patch+yaml",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "default", "managedFields": []},
            "spec": {"ports": [{"port": 80, "targetPort": "http"}]},
        },
    ),
    (
        "PATCH",
        "/apis/apps/v1/namespaces/default/deployments/web/scale",
        "merge-patch+json",
        {"spec": {"replicas": 1}},
    ),
)
_ODD: tuple[Any, ...] = (
    *TEXTS,
    *NUMBERS,
    None,
    True,
    [],
    {},
    [[]],
    [None],
    {"a": {"$patch": 1}},
    "9" * 5000,
    10**40,
)

#: Answers that say "not offered here" and "a revision to come", as upstream words them.
_MEANT = {(501, "NotImplemented"), (504, "Timeout")}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Maker:
    """Makes requests, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.objects = [*valid_objects(), definition(), widget("one")]
        self.by_kind = {object_kind(obj): obj for obj in self.objects}

    def request(self) -> Asked:
        rng = self.rng
        kind = rng.choice((*KINDS, *self.by_kind))
        if rng.random() < 0.05:
            return self._asked(rng.choice(("GET", "POST")), self._odd_path(), b"{}")
        if rng.random() < 0.12:
            return self._special()
        method = rng.choice(("GET", "POST", "POST", "PUT", "PUT", "PATCH", "PATCH", "DELETE"))
        name = self._name(kind) if method != "POST" or rng.random() < 0.1 else ""
        if method in ("GET", "DELETE") and rng.random() < 0.3:
            name = ""
        if name and rng.random() < 0.2:
            choices = [one for one in kind.subresources if one not in _STREAMS]
            name += f"/{rng.choice([*choices, 'status', 'scale', 'nothing'])}"
        root = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
        spaces = "/namespaces/default" if kind.namespaced and rng.random() < 0.95 else ""
        path = f"{root}{spaces}/{kind.plural}" + (f"/{name}" if name else "")
        return self._asked(method, path, self._body(kind, method))

    def _asked(self, method: str, path: str, body: bytes) -> Asked:
        rng = self.rng
        names = rng.sample(sorted(_QUERY), rng.choice((0, 0, 0, 1, 2)))
        patching = method == "PATCH" and rng.random() < 0.9
        usual = _CONTENT[2:6] if patching else _CONTENT[:1]
        headers = {
            "Content-Type": rng.choice(usual if rng.random() < 0.95 else _CONTENT),
            "Accept": rng.choice(_ACCEPT if rng.random() < 0.3 else _ACCEPT[:1]),
        }
        if rng.random() < 0.03:
            headers |= rng.choice(_IMPERSONATED)
        query = {name: rng.choice(_QUERY[name]) for name in names}
        return Asked(method, path, query, headers, body)

    def _special(self) -> Asked:
        """One of ``_SPECIAL``, odd in up to three places, or nested too deep to be read."""
        method, path, patch, body = self.rng.choice(_SPECIAL)
        odd: Any = body
        for _ in range(self.rng.randint(0, 3)):
            odd = odd_anywhere(odd, self.rng)
        text = json.dumps(odd)
        if self.rng.random() < 0.05:
            text = '{"spec":' * 3000 + text + "}" * 3000
        asked = self._asked(method, path, text.encode("utf-8", "surrogatepass"))
        if patch:
            asked.headers["Content-Type"] = f"application/{patch}"
        return asked

    def _name(self, kind: Kind) -> str:
        known = self.by_kind.get(kind)
        if known is not None and self.rng.random() < 0.9:
            return str(known["metadata"]["name"])
        return self.rng.choice(("web", "default", "missing", "A%20b", "x" * 300))

    def _odd_path(self) -> str:
        pieces = ("api", "apis", "v1", "namespaces", "default", "pods", "web", "x", "openapi", "v2")
        return "/" + "/".join(self.rng.choices(pieces, k=self.rng.randint(1, 7)))

    def _body(self, kind: Kind, method: str) -> bytes:
        rng, known = self.rng, self.by_kind.get(kind)
        if method == "GET" or (method == "DELETE" and rng.random() < 0.7):
            return b""
        if rng.random() < 0.03:
            return rng.choice(
                (b"", b"{", b"[]", b"null", b"1", b"k8s\x00\x0a\x00", b"\xff", b"- a: *b")
            )
        if known is None:
            known = {"metadata": {"name": "web"}}
            for name in ("spec", "data", "rules", "status"):
                if rng.random() < 0.3:
                    known[name] = rng.choice(({}, [], "x", 1, None))
            return json.dumps(known).encode()
        if method == "PATCH" and rng.random() < 0.4:
            return json.dumps(self._operations()).encode()
        obj: Obj = known
        for _ in range(rng.randint(0, 3)):
            obj = mutated(obj, kind, rng) if kind in KINDS else odd_widget(obj, rng)
        if rng.random() < 0.1 and kind in KINDS:
            obj = {**obj, "metadata": odd_value_of_metadata(kind, rng)}
        return json.dumps(obj).encode("utf-8", "surrogatepass")

    def _operations(self) -> list[dict[str, Any]]:
        rng = self.rng
        paths = ("", "/spec", "/metadata", "/metadata/labels", "/spec/replicas", "/a/-", "/data/a")
        values: tuple[Any, ...] = (*TEXTS[:6], *NUMBERS[:5], None, [], {})
        operations = ("add", "remove", "replace", "move", "copy", "test", "odd")
        return [
            {
                "op": rng.choice(operations),
                "path": rng.choice(paths),
                "from": rng.choice(paths),
                "value": rng.choice(values),
            }
            for _ in range(rng.randint(0, 3))
        ]


def odd_anywhere(value: Any, rng: random.Random) -> Any:
    """``value`` with something odd in the place of one of its parts, wherever that is."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(_ODD)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        return [*value[:at], odd_anywhere(value[at], rng), *value[at + 1 :]]
    name = rng.choice(sorted(value))
    return {**value, name: odd_anywhere(value[name], rng)}


def odd_widget(obj: Obj, rng: random.Random) -> Obj:
    """A custom object with one field of it, or a new one, made odd."""
    value: Any = rng.choice((*TEXTS, *NUMBERS, None, [], {}, [{}], {"a": [1]}))
    outer = rng.choice(("spec", "spec", "spec", "status", "metadata", "kind"))
    inner = rng.choice(("size", "colour", "ports", "labels", "name", *KEYS))
    if rng.random() < 0.2 or not isinstance(obj.get(outer), dict):
        return {**obj, outer: value}
    return {**obj, outer: {**obj[outer], inner: value}}


def odd_value_of_metadata(kind: Kind, rng: random.Random) -> Any:

    found = odd_value(schema_of(kind).properties["metadata"], rng)
    if isinstance(found, dict) and rng.random() < 0.5:
        found["name"] = rng.choice(KEYS)
    return found


async def send(session: aiohttp.ClientSession, asked: Asked) -> str:
    """Send it; returns what is wrong with the answer, or nothing."""
    async with session.request(
        asked.method,
        asked.path,
        params=asked.query,
        headers=asked.headers,
        data=asked.body,
    ) as response:
        text = await response.text()
    if response.status < 500:
        return ""
    answer = json.loads(text)
    if (response.status, answer.get("reason")) in _MEANT:
        return ""
    return f"{asked}\n→ {response.status} {answer.get('message')}"


def everything(served: Served) -> dict[Kind, list[Obj]]:
    registry = served.registry
    return {kind: list(registry.list(kind, ALL).items) for kind in registry.kinds.stored}


async def test_no_request_breaks_the_api_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    maker, wrong = Maker(SEED), []
    async with serving(tmp_path / "state") as served:
        async with signed_in(served) as session:
            made = Asked("POST", DEFINITIONS, {}, {}, json.dumps(definition()).encode())
            assert not await send(session, made)
            for _ in range(REQUESTS):
                if problem := await send(session, maker.request()):
                    wrong.append(problem)
        held = everything(served)
    assert not wrong, f"{len(wrong)} of {REQUESTS}:\n" + "\n".join(wrong[:10])
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert held[NAMESPACE], "something was there to break"
    store = SqliteStore(tmp_path / "state" / "nodrop.db")
    assert {kind: [one.obj for one in store.list(kind)] for kind in held} == held
    store.close()
