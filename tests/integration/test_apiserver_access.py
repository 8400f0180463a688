"""Users of the API and their rights, over HTTP alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nodrop.apiserver.limits import Limits
from nodrop.apiserver.users import Users
from nodrop.cli.user import binding_of
from nodrop.client.actions import Create, Patch
from nodrop.client.http import HttpClient
from nodrop.client.kubeconfig import Endpoint, read_kubeconfig
from nodrop.client.protocol import Scope
from nodrop.clock import SystemClock
from nodrop.model.errors import ApiError
from nodrop.model.kinds import (
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    CONFIGMAP,
    EVENT,
    ROLE,
    ROLEBINDING,
    SERVICEACCOUNT,
)
from nodrop.model.meta import Obj, ObjectKey
from tests.serving import Served, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "state") as running:
        yield running


Ask = Callable[..., Awaitable[tuple[int, Obj]]]


@asynccontextmanager
async def asking(served: Served) -> AsyncIterator[Ask]:
    """Ask by bearer token and path for status and body, as no client of ours would."""
    tls = read_kubeconfig(served.state.kubeconfig).ssl_context()
    assert tls is not None
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as http:

        async def ask(
            bearer: str, path: str, *, method: str = "GET", headers: Any = None, json: Any = None
        ) -> tuple[int, Obj]:
            sent = {"Authorization": f"Bearer {bearer}", **(headers or {})}
            async with http.request(method, served.url + path, headers=sent, json=json) as answer:
                return answer.status, await answer.json()

        yield ask


async def test_users_have_the_rights_that_bindings_give_them(served: Served) -> None:
    """view in one namespace: read there, write nowhere, see nothing else; watches too."""
    token = Users(served.state.users).add("ann", (), SystemClock().now())
    endpoint = Endpoint(server=served.url, ca_pem=served.pki.ca_cert.read_text(), token=token)
    async with HttpClient(endpoint) as ann:
        with pytest.raises(ApiError, match='User "ann" cannot list resource "configmaps"'):
            await ann.list(CONFIGMAP, Scope("default"))
        served.registry.create(ROLEBINDING, "default", binding_of("ann", "view", "default"))
        assert (await ann.list(CONFIGMAP, Scope("default"))).items == ()
        for scope in (Scope(), Scope("kube-system")):
            with pytest.raises(ApiError) as caught:
                await ann.list(CONFIGMAP, scope)
            assert caught.value.code == 403
        metadata = {"name": "a", "namespace": "default"}
        made: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        with pytest.raises(ApiError, match='cannot create resource "configmaps"'):
            await ann.apply(Create(made))


@pytest.mark.parametrize(("verb", "code"), [("get", 403), ("create", 404)])
async def test_to_open_a_stream_is_to_create_it(served: Served, verb: str, code: int) -> None:
    """By GET too, which is how WebSockets begin; 404 means that the pod was looked for."""
    token = Users(served.state.users).add("ann", (), SystemClock().now())
    rule = {"verbs": [verb], "apiGroups": [""], "resources": ["pods/exec", "pods/portforward"]}
    role: Obj = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [rule]}
    served.registry.create(ROLE, "default", {**role, "metadata": {"name": "streamer"}})
    binding = binding_of("ann", "view", "default")
    binding["roleRef"] = {**binding["roleRef"], "kind": "Role", "name": "streamer"}
    served.registry.create(ROLEBINDING, "default", binding)
    async with asking(served) as ask:
        for method in ("GET", "POST"):
            for name in ("exec?command=ls&stdout=1", "portforward"):
                path = f"/api/v1/namespaces/default/pods/web/{name}"
                assert (await ask(token, path, method=method))[0] == code


async def test_an_admin_of_a_namespace_gives_no_more_than_it_has(served: Served) -> None:
    token = Users(served.state.users).add("ann", (), SystemClock().now())
    served.registry.create(ROLEBINDING, "default", binding_of("ann", "admin", "default"))
    endpoint = Endpoint(server=served.url, ca_pem=served.pki.ca_cert.read_text(), token=token)
    async with HttpClient(endpoint) as ann:
        assert await ann.apply(Create(binding_of("bob", "edit", "default")))
        with pytest.raises(ApiError, match="permissions not currently held"):
            await ann.apply(Create(binding_of("bob", "cluster-admin", "default")))
        with pytest.raises(ApiError, match="cannot create resource"):
            await ann.apply(Create(binding_of("bob", "view", "")))


def give(served: Served, name: str, *rules: Obj) -> str:
    """A token of a new user with these rights in ``default``."""
    role: Obj = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [*rules]}
    served.registry.create(ROLE, "default", {**role, "metadata": {"name": name}})
    binding = binding_of(name, name, "default")
    binding["roleRef"] = {**binding["roleRef"], "kind": "Role"}
    served.registry.create(ROLEBINDING, "default", binding)
    return Users(served.state.users).add(name, (), SystemClock().now())


async def test_a_role_that_is_none_yet_is_bound_by_nobody_who_could_not_write_it(
    served: Served,
) -> None:
    """It would give whatever somebody writes into it later."""
    token = Users(served.state.users).add("ann", (), SystemClock().now())
    served.registry.create(ROLEBINDING, "default", binding_of("ann", "admin", "default"))
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    async with asking(served) as ask:
        missing = binding_of("ann", "later", "default")
        code, told = await ask(token, path, method="POST", json=missing)
        assert code == 404
        assert told["message"] == 'clusterroles.rbac.authorization.k8s.io "later" not found'
        assert (await ask(served.token, path, method="POST", json=missing))[0] == 201


async def test_an_admin_of_a_namespace_asks_about_others_there(served: Served) -> None:
    token = Users(served.state.users).add("ann", (), SystemClock().now())
    served.registry.create(ROLEBINDING, "default", binding_of("ann", "admin", "default"))
    path = "/apis/authorization.k8s.io/v1/namespaces/{}/localsubjectaccessreviews"
    spec = {"user": "ann", "resourceAttributes": {"verb": "list", "resource": "pods"}}
    async with asking(served) as ask:
        mine = await ask(token, path.format("default"), method="POST", json={"spec": spec})
        assert (mine[0], mine[1]["status"]["allowed"]) == (201, True)
        others = await ask(token, path.format("kube-system"), method="POST", json={"spec": spec})
        assert others[0] == 403


async def test_the_verb_bind_is_of_roles_by_name(served: Served) -> None:
    """As upstream has it: of the role that is bound, not of the binding."""
    group = "rbac.authorization.k8s.io"
    create = {"verbs": ["create", "bind"], "apiGroups": [group], "resources": ["rolebindings"]}
    bind = {"verbs": ["bind"], "apiGroups": [group], "resources": ["clusterroles"]}
    may = give(served, "may", create, {**bind, "resourceNames": ["view"]})
    may_not = give(served, "may-not", create)
    path = f"/apis/{group}/v1/namespaces/default/rolebindings"
    async with asking(served) as ask:
        for token, role, code in ((may_not, "view", 403), (may, "edit", 403), (may, "view", 201)):
            binding = binding_of("x", role, "default")
            assert (await ask(token, path, method="POST", json=binding))[0] == code


async def test_who_may_patch_may_not_create_by_apply(served: Served) -> None:
    rule = {"verbs": ["patch"], "apiGroups": [""], "resources": ["configmaps"]}
    token = give(served, "patcher", rule)
    path = "/api/v1/namespaces/default/configmaps/new?fieldManager=m"
    obj: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    newer = {"verbs": ["patch"], "apiGroups": ["events.k8s.io"], "resources": ["events"]}
    teller = give(served, "teller", newer)
    about = {"kind": "ConfigMap", "name": "new", "namespace": "default"}
    event: Obj = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "R"}
    served.registry.create(EVENT, "default", {**event, "involvedObject": about})
    applied: Obj = {**event, "apiVersion": "events.k8s.io/v1", "note": "n"}
    async with asking(served) as ask:
        for name, expected in (("e", 200), ("other", 403)):
            url = f"/apis/events.k8s.io/v1/namespaces/default/events/{name}?fieldManager=m"
            named = {**applied, "metadata": {"name": name}}
            answer = await ask(teller, url, method="PATCH", headers=headers, json=named)
            assert answer[0] == expected, answer
        code, told = await ask(token, path, method="PATCH", headers=headers, json=obj)
        assert (code, "cannot create resource" in told["message"]) == (403, True)
        assert (await ask(served.token, path, method="PATCH", headers=headers, json=obj))[0] == 201
        assert (await ask(token, path, method="PATCH", headers=headers, json=obj))[0] == 200


async def test_one_object_is_listed_and_watched_by_a_right_to_its_name(served: Served) -> None:
    """So ``kubectl get configmap mine -w`` asks; a get is no watch and no list."""
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"]}
    token = give(served, "ann", {**rule, "verbs": ["get", "list", "watch"]})
    getter = give(served, "getter", {**rule, "verbs": ["get"]})
    obj: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
    served.registry.create(CONFIGMAP, "default", obj)
    path = "/api/v1/namespaces/default/configmaps"
    async with asking(served) as ask:
        for query, code in (
            ("?fieldSelector=metadata.name%3Dmine", 200),
            ("?fieldSelector=metadata.name%3Dother", 403),
            ("?fieldSelector=metadata.name!%3Dmine", 403),
            ("", 403),
        ):
            assert (await ask(token, path + query))[0] == code
        assert (await ask(getter, f"{path}?fieldSelector=metadata.name%3Dmine"))[0] == 403
        assert (await ask(getter, f"{path}/mine?watch=true"))[0] == 403
        assert (await ask(getter, f"{path}/mine?watch=false"))[1]["kind"] == "ConfigMap"


async def test_a_patch_of_a_role_gives_no_more_than_its_writer_has(served: Served) -> None:
    """What it gives shows only in what it makes; it is refused before anything is stored."""
    token = Users(served.state.users).add("ann", (), SystemClock().now())
    served.registry.create(ROLEBINDING, "default", binding_of("ann", "admin", "default"))
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    role: Obj = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [rule]}
    served.registry.create(ROLE, "default", {**role, "metadata": {"name": "reader"}})
    key = ObjectKey(ROLE, "default", "reader")
    before, revision = served.registry.get(key), served.registry.revision()
    more = {"rules": [{**rule, "verbs": ["get", "list"]}]}
    too_much = {"rules": [{**rule, "resources": ["nodes"]}]}
    endpoint = Endpoint(server=served.url, ca_pem=served.pki.ca_cert.read_text(), token=token)
    async with HttpClient(endpoint) as ann:
        with pytest.raises(ApiError, match="permissions not currently held"):
            await ann.apply(Patch(key, too_much))
        assert (served.registry.get(key), served.registry.revision()) == (before, revision)
        await ann.apply(Patch(key, more))
    assert served.registry.get(key)["rules"] == more["rules"]
    assert served.registry.revision() == revision + 1


async def test_to_act_as_somebody_else_takes_a_right(served: Served) -> None:
    """The owner may; others may with the verb ``impersonate``, and then have those rights only."""
    token = Users(served.state.users).add("ann", (), SystemClock().now())
    rule = {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"]}
    role: Obj = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    mine = {**rule, "resourceNames": ["bob"]}
    served.registry.create(CLUSTERROLE, "", {**role, "metadata": {"name": "i"}, "rules": [mine]})
    served.registry.create(CLUSTERROLEBINDING, "", binding_of("ann", "i", ""))
    served.registry.create(ROLEBINDING, "default", binding_of("bob", "view", "default"))
    async with asking(served) as ask:

        async def asked(bearer: str, method: str = "GET", **headers: str) -> tuple[int, Obj]:
            named = {f"Impersonate-{name.title()}": value for name, value in headers.items()}
            path = "/api/v1/namespaces/default/configmaps"
            return await ask(bearer, path, method=method, headers=named, json={})

        assert (await asked(token))[0] == 403
        assert (await asked(token, user="bob"))[0] == 200
        assert (await asked(token, "POST", user="bob"))[0] == 403
        code, told = await asked(token, user="carl")
        assert code == 403
        assert 'User "ann" cannot impersonate resource "users" in API group' in told["message"]
        assert (await asked(token, user="bob", group="system:masters"))[0] == 403
        assert (await asked(token, group="system:masters"))[0] == 400
        assert (await asked(served.token, user="bob"))[0] == 200
        assert (await asked(served.token, user="carl"))[0] == 403


async def test_an_account_speaks_by_its_token(served: Served) -> None:
    """With the rights of its bindings, until it is deleted; a TokenReview tells whose it is."""
    metadata = {"name": "bot", "namespace": "default"}
    account: Obj = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    served.registry.create(SERVICEACCOUNT, "default", account)
    binding = binding_of("bot", "view", "default")
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "bot", "namespace": "default"}]
    served.registry.create(ROLEBINDING, "default", binding)
    core, reviews = "/api/v1/namespaces/default", "/apis/authentication.k8s.io/v1/tokenreviews"
    async with asking(served) as ask:

        async def post(bearer: str, path: str, **spec: Any) -> tuple[int, Obj]:
            return await ask(bearer, path, method="POST", json={"spec": spec})

        _, given = await post(served.token, f"{core}/serviceaccounts/bot/token")
        bot = given["status"]["token"]
        _, told = await post(served.token, reviews, token=bot)
        assert told["status"]["authenticated"]
        assert told["status"]["user"]["username"] == "system:serviceaccount:default:bot"
        _, told = await post(served.token, reviews, token=bot, audiences=["vault"])
        assert not told["status"]["authenticated"]
        assert (await ask(bot, f"{core}/configmaps"))[0] == 200
        assert (await post(bot, reviews, token=bot))[0] == 403
        code, told = await post(bot, f"{core}/serviceaccounts/bot/token")
        assert code == 403
        assert 'cannot create resource "serviceaccounts/token"' in told["message"]
        served.registry.delete(ObjectKey(SERVICEACCOUNT, "default", "bot"))
        assert (await ask(bot, f"{core}/configmaps"))[0] == 401
        _, told = await post(served.token, reviews, token=bot)
        assert not told["status"]["authenticated"]


async def test_too_many_requests_of_one_user(tmp_path: Path) -> None:
    """The owner goes on while another user is told to wait."""
    limits = Limits(requests_per_s=0.001, burst=2)
    async with serving(tmp_path, limits=limits) as served:
        token = Users(served.state.users).add("ann", (), SystemClock().now())
        ca_pem = served.pki.ca_cert.read_text()
        async with HttpClient(Endpoint(server=served.url, ca_pem=ca_pem, token=token)) as ann:
            for _ in range(2):
                await ann.version()
            with pytest.raises(ApiError) as caught:
                await ann.version()
        assert caught.value.code == 429
        owner = Endpoint(server=served.url, ca_pem=ca_pem, token=served.token)
        async with HttpClient(owner) as client:
            for _ in range(5):
                await client.version()
