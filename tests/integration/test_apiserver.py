"""The API server over a real registry, spoken to by HTTP alone."""

from __future__ import annotations

import asyncio
import io
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from nodrop.client.http import HttpClient, Unreachable
from nodrop.client.kubeconfig import Endpoint, read_kubeconfig
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP, DEPLOYMENT
from nodrop.model.meta import ObjectKey, Revision
from tests.serving import Served, serving, signed_in

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "state") as running:
        yield running


@pytest.fixture
async def http(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with signed_in(served) as session:
        yield session


def configmap(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"set": "a"}},
        "data": data,
    }


async def status_of(response: aiohttp.ClientResponse) -> tuple[int, str, str]:
    status = await response.json()
    assert status["kind"] == "Status"
    assert status["code"] == response.status
    return response.status, status["reason"], status["message"]


# Credentials


PUBLIC = ("/version", "/healthz", "/livez", "/readyz")


@pytest.mark.parametrize("path", [*PUBLIC, "/api", "/apis", CONFIGMAPS, "/metrics", "/nowhere"])
async def test_without_credentials_only_health_and_version_are_told(
    served: Served, path: str
) -> None:
    """As upstream has it: load balancers and scripts ask so. Wrong credentials are never taken."""
    tls = read_kubeconfig(served.state.kubeconfig).ssl_context()
    assert tls is not None
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": served.token}):
            async with session.get(served.url + path, headers=headers) as response:
                if path in PUBLIC and not headers:
                    assert response.status == 200
                    continue
                assert await status_of(response) == (401, "Unauthorized", "Unauthorized")


async def test_the_issuer_of_tokens_tells_where_its_keys_are(
    served: Served, http: aiohttp.ClientSession
) -> None:
    async with http.get("/.well-known/openid-configuration") as response:
        told = await response.json()
    assert told["issuer"] == "https://kubernetes.default.svc"
    assert told["jwks_uri"] == f"{served.url}/openid/v1/jwks"
    async with http.get(told["jwks_uri"]) as response:
        assert response.content_type == "application/jwk-set+json"
        assert [one["alg"] for one in (await response.json(content_type=None))["keys"]] == ["ES256"]


async def test_odd_bodies_are_bad_requests(served: Served, http: aiohttp.ClientSession) -> None:
    """They were answered with 500."""
    deep = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
    async with http.post(
        CONFIGMAPS, data=deep, headers={"Content-Type": "application/json"}
    ) as response:
        assert await status_of(response) == (400, "BadRequest", "the body is nested too deep")
    reviews = "/apis/authorization.k8s.io/v1/"
    for name, spec in (
        ("selfsubjectaccessreviews", {"resourceAttributes": "x"}),
        ("selfsubjectaccessreviews", {"nonResourceAttributes": []}),
        ("namespaces/default/localsubjectaccessreviews", {"resourceAttributes": [1]}),
        ("subjectaccessreviews", {"user": "a", "groups": 5, "resourceAttributes": {}}),
    ):
        async with http.post(reviews + name, json={"spec": spec}) as response:
            assert (await status_of(response))[:2] == (400, "BadRequest")


async def test_a_client_certificate_of_our_authority_is_enough(served: Served) -> None:
    endpoint = Endpoint(
        server=served.url,
        ca_pem=served.pki.ca_cert.read_text(),
        cert_pem=served.pki.client_cert.read_text(),
        key_pem=served.pki.client_key.read_text(),
    )
    async with HttpClient(endpoint) as client:
        assert (await client.version())["gitVersion"].startswith("v1.33.0")


async def test_the_servers_own_certificate_does_not_admit_a_client(served: Served) -> None:
    endpoint = Endpoint(
        server=served.url,
        ca_pem=served.pki.ca_cert.read_text(),
        cert_pem=served.pki.server_cert.read_text(),
        key_pem=served.pki.server_key.read_text(),
    )
    async with HttpClient(endpoint) as client:
        with pytest.raises(ApiError):
            await client.version()


async def test_secret_files_are_private(served: Served) -> None:
    secret = [served.state.kubeconfig, served.state.pki / "token", *served.pki.files()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


# Requests


async def test_unknown_paths_methods_and_verbs_end_in_a_status(http: aiohttp.ClientSession) -> None:
    async with http.get("/apis/batch/v1/jobs") as response:
        assert (await status_of(response))[:2] == (404, "NotFound")
    async with http.post("/version") as response:
        assert response.status == 404 or (await status_of(response))[0] == 405
    async with http.put(CONFIGMAPS, json={}) as response:
        assert (await status_of(response))[:2] == (405, "MethodNotAllowed")
    async with http.post("/api/v1/namespaces/default/pods/web/proxy") as response:
        assert (await status_of(response))[:2] == (501, "NotImplemented")


async def test_bodies_may_be_yaml_and_times_in_them_stay_text(http: aiohttp.ClientSession) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {when: 2026-11-23}\n"
    headers = {"Content-Type": "application/yaml"}
    async with http.post(CONFIGMAPS, data=text, headers=headers) as response:
        assert response.status == 201
        assert (await response.json())["data"] == {"when": "2026-11-23"}


@pytest.mark.parametrize(
    ("media_type", "data", "code", "words"),
    [
        ("application/json", b"{", 400, "not JSON"),
        ("application/json", b"[]", 400, "not an object"),
        ("application/yaml", b"a: [", 400, "not YAML"),
        ("application/vnd.kubernetes.protobuf", b"k8s\0", 400, "not Kubernetes protobuf"),
        ("application/xml", b"<a/>", 415, "application/json"),
        ("application/json", b" " * (3 * 1024 * 1024 + 1), 413, "limit is 3145728 bytes"),
    ],
)
async def test_bodies_that_can_not_be_read(
    http: aiohttp.ClientSession, media_type: str, data: bytes, code: int, words: str
) -> None:
    headers = {"Content-Type": media_type}
    async with http.post(CONFIGMAPS, data=io.BytesIO(data), headers=headers) as response:
        found, _, message = await status_of(response)
    assert found == code
    assert words in message


async def test_a_chunked_body_beyond_the_limit_is_refused(http: aiohttp.ClientSession) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65536

    headers = {"Content-Type": "application/json"}
    async with http.post(CONFIGMAPS, data=endless(), headers=headers) as response:
        assert (await status_of(response))[0] == 413


async def test_a_server_side_apply_takes_yaml_and_wants_a_field_manager(
    http: aiohttp.ClientSession,
) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    body = b"apiVersion: v1\nkind: ConfigMap\ndata: {a: x}\n"
    async with http.patch(f"{CONFIGMAPS}/a", data=body, headers=headers) as response:
        code, _, message = await status_of(response)
    assert code == 422
    assert "fieldManager: Required value" in message
    url = f"{CONFIGMAPS}/a?fieldManager=test"
    for expected in (201, 200):
        async with http.patch(url, data=body, headers=headers) as response:
            assert response.status == expected
            assert (await response.json())["data"] == {"a": "x"}


async def test_a_url_may_be_long(http: aiohttp.ClientSession) -> None:
    """The command of ``kubectl exec`` stands in it; 8 KB were too much once."""
    script = "command=" + "x" * 100_000
    url = f"/api/v1/namespaces/default/pods/web/exec?{script}"
    async with http.get(url) as response:
        assert (await status_of(response))[0] == 404  # the pod was looked for


async def test_unknown_fields_warn_or_refuse_as_asked(http: aiohttp.ClientSession) -> None:
    odd = configmap("odd") | {"dat": {}}
    async with http.post(f"{CONFIGMAPS}?fieldValidation=Strict", json=odd) as response:
        code, _, message = await status_of(response)
    assert code == 400
    assert 'unknown field "dat"' in message
    async with http.post(f"{CONFIGMAPS}?dryRun=All", json=odd) as response:
        assert response.status == 201
        assert 'unknown field \\"dat\\"' in response.headers["Warning"]
    async with http.get(f"{CONFIGMAPS}/odd") as response:
        assert response.status == 404


async def test_fields_that_stand_twice_warn_or_refuse_as_asked(
    http: aiohttp.ClientSession,
) -> None:
    named = '"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}'
    body = f'{{{named}, "data": {{"a": "1"}}, "data": {{"a": "2"}}}}'
    json_body = {"Content-Type": "application/json"}
    strict = f"{CONFIGMAPS}?fieldValidation=Strict"
    async with http.post(strict, data=body, headers=json_body) as response:
        code, _, message = await status_of(response)
    assert code == 400
    assert message.endswith('strict decoding error: duplicate field "data"')
    for ask, url, expected in ((http.post, CONFIGMAPS, 201), (http.put, f"{CONFIGMAPS}/a", 200)):
        async with ask(url, data=body, headers=json_body) as response:
            assert response.status == expected
            assert response.headers["Warning"] == r'299 - "duplicate field \"data\""'
            assert (await response.json())["data"] == {"a": "2"}
    merge = {"Content-Type": "application/merge-patch+json"}
    patch = '{"data": {"a": "3", "a": "4"}}'
    async with http.patch(f"{CONFIGMAPS}/a", data=patch, headers=merge) as response:
        assert response.headers["Warning"] == r'299 - "duplicate field \"data.a\""'


async def test_lists_come_in_pages_of_one_revision(http: aiohttp.ClientSession) -> None:
    for name in ("a", "b", "c"):
        await http.post(CONFIGMAPS, json=configmap(name))
    async with http.get(CONFIGMAPS, params={"limit": "2"}) as response:
        first = await response.json()
    assert first["metadata"]["remainingItemCount"] == 1
    await http.post(CONFIGMAPS, json=configmap("d"))
    params = {"limit": "2", "continue": first["metadata"]["continue"]}
    async with http.get(CONFIGMAPS, params=params) as response:
        second = await response.json()
    names = [item["metadata"]["name"] for item in first["items"] + second["items"]]
    assert names == ["a", "b", "c"]
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert second["kind"] == "ConfigMapList"


async def test_fields_select_by_equality_and_inequality(http: aiohttp.ClientSession) -> None:
    for name in ("a", "b"):
        await http.post(CONFIGMAPS, json=configmap(name))
    for selector, expected in (("metadata.name=a", ["a"]), ("metadata.name!=a", ["b"])):
        async with http.get(CONFIGMAPS, params={"fieldSelector": selector}) as response:
            found = [item["metadata"]["name"] for item in (await response.json())["items"]]
        assert found == expected
    async with http.get(CONFIGMAPS, params={"fieldSelector": "data.x=1"}) as response:
        assert (await status_of(response))[2] == "field label not supported: data.x"


async def test_tables_for_who_asks(http: aiohttp.ClientSession) -> None:
    await http.post(CONFIGMAPS, json=configmap("a", x="1", y="2"))
    async with http.get(CONFIGMAPS, headers={"Accept": TABLE}) as response:
        table = await response.json()
    assert table["kind"] == "Table"
    assert table["rows"][0]["cells"][:2] == ["a", 2]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_a_collection_is_deleted_by_label(http: aiohttp.ClientSession) -> None:
    other = configmap("other")
    other["metadata"]["labels"] = {"set": "b"}
    for obj in (configmap("a"), configmap("b"), other):
        await http.post(CONFIGMAPS, json=obj)
    async with http.delete(CONFIGMAPS, params={"labelSelector": "set=a"}) as response:
        assert response.status == 200
    async with http.get(CONFIGMAPS) as response:
        left = [item["metadata"]["name"] for item in (await response.json())["items"]]
    assert left == ["other"]


async def test_what_we_did_not_expect_is_a_500_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: web.Request) -> web.Response:
        raise ZeroDivisionError("by zero")

    async with serving(tmp_path / "state", routes=[web.get("/broken", broken)]) as served:
        client = HttpClient.from_kubeconfig(served.state.kubeconfig)
        async with client:
            with pytest.raises(ApiError, match="Internal error occurred: ZeroDivisionError"):
                await client.get_raw("/broken")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "GET /broken failed"
    ]


async def test_a_failure_in_mid_answer_cuts_the_connection(tmp_path: Path) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        raise ZeroDivisionError("by zero")

    async with serving(tmp_path / "state", routes=[web.get("/broken", broken)]) as served:
        client = HttpClient.from_kubeconfig(served.state.kubeconfig)
        async with client:
            with pytest.raises(Unreachable):
                await client.get_raw("/broken")


async def test_a_client_that_has_gone_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def left(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        response = web.StreamResponse()
        await response.prepare(request)
        raise AssertionError("there was nobody to write to")

    async with serving(tmp_path / "state", routes=[web.get("/left", left)]) as served:
        client = HttpClient.from_kubeconfig(served.state.kubeconfig)
        async with client:
            with pytest.raises(Unreachable):
                await client.get_raw("/left")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


# Watches


async def lines(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in response.content:
        yield msgspec.json.decode(line)


async def test_a_watch_without_revision_starts_with_what_is_there(
    http: aiohttp.ClientSession,
) -> None:
    await http.post(CONFIGMAPS, json=configmap("a"))
    async with http.get(CONFIGMAPS, params={"watch": "true"}) as response:
        events = lines(response)
        assert (await anext(events))["type"] == "ADDED"
        await http.post(CONFIGMAPS, json=configmap("b"))
        assert (await anext(events))["object"]["metadata"]["name"] == "b"
        await http.delete(f"{CONFIGMAPS}/b")
        gone = await anext(events)
    assert gone["type"] == "DELETED"
    assert gone["object"]["metadata"]["name"] == "b"


async def test_an_object_that_leaves_the_selector_is_deleted_for_its_watcher(
    http: aiohttp.ClientSession,
) -> None:
    params = {"watch": "true", "labelSelector": "set=a"}
    async with http.get(CONFIGMAPS, params=params) as response:
        events = lines(response)
        await http.post(CONFIGMAPS, json=configmap("a"))
        assert (await anext(events))["type"] == "ADDED"
        patch = {"metadata": {"labels": {"set": "b"}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        await http.patch(f"{CONFIGMAPS}/a", data=msgspec.json.encode(patch), headers=headers)
        assert (await anext(events))["type"] == "DELETED"


async def test_a_watch_ends_at_its_time_with_a_bookmark(http: aiohttp.ClientSession) -> None:
    async with http.post(CONFIGMAPS, json=configmap("a")) as response:
        revision = (await response.json())["metadata"]["resourceVersion"]
    params = {
        "watch": "true",
        "resourceVersion": revision,
        "timeoutSeconds": "1",
        "allowWatchBookmarks": "true",
    }
    async with http.get(CONFIGMAPS, params=params) as response:
        events = [event async for event in lines(response)]
    assert [event["type"] for event in events] == ["BOOKMARK"]
    assert events[0]["object"]["metadata"]["resourceVersion"] == revision


async def test_a_watch_list_begins_with_the_state_and_says_when_that_was_all(
    http: aiohttp.ClientSession,
) -> None:
    for name in ("a", "b"):
        await http.post(CONFIGMAPS, json=configmap(name))
    params = {
        "watch": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "labelSelector": "set=a",
    }
    async with http.get(CONFIGMAPS, params=params) as response:
        events = lines(response)
        names = [(await anext(events))["object"]["metadata"]["name"] for _ in range(2)]
        assert names == ["a", "b"]
        marked = await anext(events)
        assert marked["type"] == "BOOKMARK"
        annotations = marked["object"]["metadata"]["annotations"]
        assert annotations == {"k8s.io/initial-events-end": "true"}
        await http.post(CONFIGMAPS, json=configmap("c"))
        added = await anext(events)
        assert (added["type"], added["object"]["metadata"]["name"]) == ("ADDED", "c")
        revision = int(marked["object"]["metadata"]["resourceVersion"])
        assert revision < int(added["object"]["metadata"]["resourceVersion"])


async def test_a_watch_list_without_initial_events_begins_now(http: aiohttp.ClientSession) -> None:
    await http.post(CONFIGMAPS, json=configmap("a"))
    params = {
        "watch": "true",
        "sendInitialEvents": "false",
        "resourceVersionMatch": "NotOlderThan",
    }
    async with http.get(CONFIGMAPS, params=params) as response:
        events = lines(response)
        await http.post(CONFIGMAPS, json=configmap("b"))
        assert (await anext(events))["object"]["metadata"]["name"] == "b"


async def test_a_watch_list_of_a_revision_to_come_is_refused(http: aiohttp.ClientSession) -> None:
    params = {
        "watch": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "resourceVersion": "999999",
    }
    async with http.get(CONFIGMAPS, params=params) as response:
        assert (await status_of(response))[:2] == (504, "Timeout")


async def test_a_revision_that_is_compacted_away_is_expired(
    served: Served, http: aiohttp.ClientSession
) -> None:
    for name in ("a", "b", "c"):
        await http.post(CONFIGMAPS, json=configmap(name))
    served.registry._store.compact(served.registry.revision())
    params = {"watch": "true", "resourceVersion": "1"}
    async with http.get(CONFIGMAPS, params=params) as response:
        events = [event async for event in lines(response)]
    assert [(event["type"], event["object"]["code"]) for event in events] == [("ERROR", 410)]


async def test_a_watch_of_an_unknown_field_is_refused_before_it_starts(
    http: aiohttp.ClientSession,
) -> None:
    params = {"watch": "true", "resourceVersion": "1", "fieldSelector": "data.x=1"}
    async with http.get(CONFIGMAPS, params=params) as response:
        assert (await status_of(response))[0] == 400


async def test_stopping_the_server_ends_open_watches(tmp_path: Path) -> None:
    async with serving(tmp_path / "state") as served:
        endpoint = read_kubeconfig(served.state.kubeconfig)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=endpoint.ssl_context() or True),
            headers={"Authorization": f"Bearer {served.token}"},
        ) as session:
            response = await session.get(f"{served.url}{CONFIGMAPS}?watch=true")
            ending = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - ending < 20
    response.close()


# The client


async def test_the_client_rebuilds_errors_with_their_causes(served: Served) -> None:
    async with HttpClient.from_kubeconfig(served.state.kubeconfig) as client:
        with pytest.raises(ApiError) as failure:
            await client.get(ObjectKey(DEPLOYMENT, "default", "web"))
    assert failure.value.code == 404
    assert failure.value.message == 'deployments.apps "web" not found'
    assert failure.value.details["group"] == "apps"


async def test_a_watch_goes_on_across_a_restart_of_the_server(tmp_path: Path) -> None:
    state = tmp_path / "state"
    names: asyncio.Queue[str] = asyncio.Queue()

    async def follow(client: HttpClient, since: Revision) -> None:
        async for event in client.watch(CONFIGMAP, since=since):
            names.put_nowait(event.obj["metadata"]["name"])

    async with asyncio.TaskGroup() as group:
        async with serving(state) as served:
            client = HttpClient.from_kubeconfig(served.state.kubeconfig)
            watching = group.create_task(follow(client, served.registry.revision()))
            served.registry.create(CONFIGMAP, "default", configmap("before"))
            assert await names.get() == "before"
        async with serving(state, port=int(served.url.rsplit(":", 1)[1])) as again:
            again.registry.create(CONFIGMAP, "default", configmap("after"))
            assert await names.get() == "after"
            watching.cancel()
            await client.close()


async def test_no_server_is_unreachable(tmp_path: Path) -> None:
    async with serving(tmp_path / "state") as served:
        client = HttpClient.from_kubeconfig(served.state.kubeconfig)
    async with client:
        with pytest.raises(Unreachable, match=f"cannot reach {served.url}"):
            await client.list(CONFIGMAP)
