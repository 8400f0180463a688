"""Who may do what."""

from __future__ import annotations

import pytest

from nodrop.model.meta import Obj
from nodrop.model.rbac import (
    Attributes,
    Policy,
    User,
    allows,
    exceeding,
    forbidden_message,
    rule_allows,
)
from nodrop.registry.roles import initial_roles

ANN, MASTER = User("ann", ("shop",)), User("root", ("system:masters",))
ROLES = tuple(role for role in initial_roles() if role["kind"] == "ClusterRole")


def binding(role: str, subject: Obj, namespace: str = "", kind: str = "ClusterRole") -> Obj:
    meta = {"name": "b", "namespace": namespace} if namespace else {"name": "b"}
    return {"metadata": meta, "roleRef": {"kind": kind, "name": role}, "subjects": [subject]}


def user(name: str) -> Obj:
    return {"kind": "User", "name": name}


def wants(verb: str, resource: str, namespace: str = "", name: str = "") -> Attributes:
    groups = {"deployments": "apps", "localsubjectaccessreviews": "authorization.k8s.io"}
    group = groups.get(resource.partition("/")[0], "")
    resource, _, subresource = resource.partition("/")
    return Attributes(
        verb=verb,
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


@pytest.mark.parametrize(
    ("role", "verb", "resource", "allowed"),
    [
        ("view", "list", "deployments", True),
        ("view", "get", "pods/log", True),
        ("view", "get", "secrets", False),
        ("view", "patch", "deployments", False),
        ("view", "create", "pods/exec", False),
        ("edit", "patch", "deployments/scale", True),
        ("edit", "get", "secrets", True),
        ("edit", "create", "pods/exec", True),
        ("edit", "delete", "namespaces", False),
        ("edit", "get", "nodes", False),
        ("admin", "delete", "deployments", True),
        ("admin", "create", "localsubjectaccessreviews", True),
        ("edit", "create", "localsubjectaccessreviews", False),
        ("cluster-admin", "delete", "namespaces", True),
        ("none-such", "get", "pods", False),
    ],
)
def test_the_roles_that_every_engine_has(
    role: str, verb: str, resource: str, allowed: bool
) -> None:
    policy = Policy(ROLES, cluster_bindings=(binding(role, user("ann")),))
    assert allows(policy, ANN, wants(verb, resource, "shop")) == allowed


def test_a_role_binding_holds_in_its_namespace_only() -> None:
    policy = Policy(ROLES, bindings=(binding("edit", user("ann"), "shop"),))
    assert allows(policy, ANN, wants("delete", "pods", "shop"))
    assert not allows(policy, ANN, wants("delete", "pods", "other"))
    assert not allows(policy, ANN, wants("list", "pods"))  # across all namespaces


@pytest.mark.parametrize(
    ("subject", "who", "bound"),
    [
        (user("ann"), ANN, True),
        (user("bob"), ANN, False),
        ({"kind": "Group", "name": "shop"}, ANN, True),
        ({"kind": "Group", "name": "ann"}, ANN, False),
        ({"kind": "Group", "name": "system:authenticated"}, User("x"), True),
        ({"kind": "Group", "name": "system:authenticated"}, User("system:anonymous"), False),
        ({"kind": "Group", "name": "system:unauthenticated"}, User("system:anonymous"), True),
        (
            {"kind": "ServiceAccount", "name": "bot", "namespace": "ci"},
            User("system:serviceaccount:ci:bot"),
            True,
        ),
        ({"kind": "User", "name": "bot"}, User("system:serviceaccount:ci:bot"), False),
    ],
)
def test_subjects(subject: Obj, who: User, bound: bool) -> None:
    policy = Policy(ROLES, cluster_bindings=(binding("view", subject),))
    assert allows(policy, who, wants("get", "pods")) == bound


def test_masters_may_everything_and_everybody_may_ask_about_themselves() -> None:
    nothing = Policy()
    assert allows(nothing, MASTER, wants("delete", "nodes"))
    assert allows(nothing, ANN, Attributes(verb="get", path="/openapi/v3/apis/apps/v1"))
    assert not allows(nothing, ANN, Attributes(verb="get", path="/metrics"))
    review = Attributes(
        verb="create", group="authorization.k8s.io", resource="selfsubjectaccessreviews"
    )
    assert allows(nothing, ANN, review)


@pytest.mark.parametrize(
    ("rule", "wanted", "allowed"),
    [
        ({"resourceNames": ["web"]}, wants("get", "pods", name="web"), True),
        ({"resourceNames": ["web"]}, wants("get", "pods", name="api"), False),
        ({"resourceNames": ["web"]}, wants("list", "pods"), False),
        ({"resources": ["*/log"]}, wants("get", "pods/log"), True),
        ({"resources": ["pods"]}, wants("get", "pods/log"), False),
        ({"resources": ["*"]}, wants("get", "pods/log"), True),
        ({"apiGroups": ["apps"]}, wants("get", "pods"), False),
        ({"verbs": ["list"]}, wants("get", "pods"), False),
    ],
)
def test_rules(rule: Obj, wanted: Attributes, allowed: bool) -> None:
    whole = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]} | rule
    if "resourceNames" in rule and wanted.verb == "list":
        whole["verbs"] = ["list"]
    assert rule_allows(whole, wanted) == allowed


def test_nobody_hands_out_more_than_they_have() -> None:
    policy = Policy(ROLES, bindings=(binding("admin", user("ann"), "shop"),))
    view, admin, everything = (
        next(r["rules"] for r in ROLES if r["metadata"]["name"] == name)
        for name in ("view", "admin", "cluster-admin")
    )
    assert exceeding(policy, ANN, "shop", view) == []
    assert exceeding(policy, ANN, "shop", admin) == []
    assert exceeding(policy, ANN, "shop", everything) == everything
    assert exceeding(policy, ANN, "other", view) == list(view)
    assert exceeding(policy, MASTER, "", everything) == []


def test_the_sentence_of_a_refusal() -> None:
    assert forbidden_message(ANN, wants("list", "deployments", "shop")) == (
        'deployments.apps is forbidden: User "ann" cannot list resource "deployments" in API '
        'group "apps" in the namespace "shop"'
    )
    assert forbidden_message(ANN, wants("get", "nodes", name="a")) == (
        'nodes "a" is forbidden: User "ann" cannot get resource "nodes" in API group "" at the '
        "cluster scope"
    )
