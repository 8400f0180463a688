"""Role-based access: who may do what, by Roles and bindings; pure.

Rules are those of Kubernetes' RBAC authorizer (rbac.authorization.k8s.io/v1): rights add up,
there is no denial; a ClusterRoleBinding holds everywhere, a RoleBinding in its namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nodrop.model.meta import Obj
from nodrop.model.serviceaccount import account_user

#: Whoever is in it may do everything, whatever bindings say.
MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
#: Who shows no credentials: comes in for what is ``PUBLIC`` alone. One may impersonate it.
ANONYMOUS = "system:anonymous"
UNAUTHENTICATED = "system:unauthenticated"
GROUP = "rbac.authorization.k8s.io"
#: What anybody may read, also without credentials (upstream's system:public-info-viewer).
PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")
#: By what tokens of service accounts are verified: nothing secret. Upstream shows it to accounts.
_ISSUER = ("/.well-known/openid-configuration", "/openid/v1/jwks")
#: What every authenticated user may read, as upstream's system:discovery lets them.
_DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_ISSUER, *PUBLIC)
#: Everybody may ask about themselves (upstream's system:basic-user).
_SELF = {
    "authorization.k8s.io": ("selfsubjectaccessreviews", "selfsubjectrulesreviews"),
    "authentication.k8s.io": ("selfsubjectreviews",),
}


@dataclass(frozen=True, slots=True)
class User:
    """Who speaks. ``groups`` come with the credential.

    ``uid`` and ``extra`` (name and values) decide nothing: they are told by ``whoami``.
    """

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def is_master(self) -> bool:
        return MASTERS in self.groups

    @property
    def all_groups(self) -> tuple[str, ...]:
        """``groups`` and the one that everybody is in."""
        everybody = UNAUTHENTICATED if self.name == ANONYMOUS else AUTHENTICATED
        return self.groups if everybody in self.groups else (*self.groups, everybody)

    def info(self) -> Obj:
        """The authentication.k8s.io/v1 UserInfo."""
        info: Obj = {"username": self.name, "groups": list(self.all_groups)}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = {name: list(values) for name, values in self.extra}
        return info


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What somebody wants to do. ``path`` is set for what is no resource, ``/metrics`` say."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Policy:
    """The stored objects that decide."""

    cluster_roles: Sequence[Obj] = ()
    roles: Sequence[Obj] = ()
    cluster_bindings: Sequence[Obj] = ()
    bindings: Sequence[Obj] = ()


def allows(policy: Policy, user: User, wanted: Attributes) -> bool:
    """May ``user`` do what is ``wanted``?"""
    if user.is_master or _is_basic(wanted):
        return True
    return any(rule_allows(rule, wanted) for rule in rules_of(policy, user, wanted.namespace))


def rules_of(policy: Policy, user: User, namespace: str) -> Iterator[Obj]:
    """Every rule that holds for ``user`` in ``namespace`` (empty: for the whole cluster)."""
    for binding in policy.cluster_bindings:
        if _binds(binding, user, ""):
            yield from role_rules(policy, binding)
    for binding in policy.bindings:
        inside = binding["metadata"].get("namespace", "")
        if namespace and inside == namespace and _binds(binding, user, inside):
            yield from role_rules(policy, binding)


def role_rules(policy: Policy, binding: Obj) -> Sequence[Obj]:
    """The rules of the role that a binding refers to; none when there is no such role."""
    role = role_of(policy, binding)
    return (role.get("rules") or ()) if role is not None else ()


def role_of(policy: Policy, binding: Obj) -> Obj | None:
    """The role that a binding refers to."""
    ref = binding.get("roleRef") or {}
    namespace = binding["metadata"].get("namespace", "")
    if ref.get("kind") == "ClusterRole":
        candidates = list(policy.cluster_roles)
    else:
        candidates = [r for r in policy.roles if r["metadata"].get("namespace") == namespace]
    for role in candidates:
        if role["metadata"]["name"] == ref.get("name"):
            return role
    return None


def rule_allows(rule: Obj, wanted: Attributes) -> bool:
    """Does one rule allow it?"""
    if not _matches(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return _matches_path(rule.get("nonResourceURLs"), wanted.path)
    names = rule.get("resourceNames") or ()
    return (
        _matches(rule.get("apiGroups"), wanted.group)
        and _matches_resource(rule.get("resources"), wanted)
        and (not names or wanted.name in names)
    )


def basic_rules() -> tuple[Obj, ...]:
    """What everybody with credentials may do without any binding."""
    about_oneself = (
        {"verbs": ["create"], "apiGroups": [group], "resources": list(names)}
        for group, names in _SELF.items()
    )
    return (*about_oneself, {"verbs": ["get"], "nonResourceURLs": list(_DISCOVERY)})


def exceeding(policy: Policy, user: User, namespace: str, rules: Iterable[Obj]) -> list[Obj]:
    """The rules that grant something which ``user`` may not do: nobody hands out more than that.

    ``namespace`` empty means everywhere.
    """
    if user.is_master:
        return []
    held = list(rules_of(policy, user, namespace))
    return [rule for rule in rules if not all(_is_held(held, one) for one in _single(rule))]


def forbidden_message(user: User, wanted: Attributes) -> str:
    """The sentence of a 403."""
    if wanted.path:
        return f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
    whole = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    name = f' "{wanted.name}"' if wanted.name else ""
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    return (
        f'{whole}{name} is forbidden: User "{user.name}" cannot {wanted.verb} resource '
        f'"{wanted.full_resource}" in API group "{wanted.group}" {where}'
    )


# Private


def _is_basic(wanted: Attributes) -> bool:
    if wanted.path:
        return wanted.verb in ("get", "head") and _matches_path(_DISCOVERY, wanted.path)
    return wanted.verb == "create" and wanted.resource in _SELF.get(wanted.group, ())


def _binds(binding: Obj, user: User, namespace: str) -> bool:
    return any(_is_subject(subject, user, namespace) for subject in binding.get("subjects") or ())


def _is_subject(subject: Obj, user: User, namespace: str) -> bool:
    name = subject.get("name")
    match subject.get("kind"):
        case "User":
            return bool(name == user.name)
        case "Group":
            return name in user.all_groups
        case "ServiceAccount":
            inside = subject.get("namespace") or namespace
            return account_user(inside, str(name)) == user.name
        case _:
            return False


def _matches(allowed: Sequence[str] | None, wanted: str) -> bool:
    return any(one in ("*", wanted) for one in allowed or ())


def _matches_resource(allowed: Sequence[str] | None, wanted: Attributes) -> bool:
    for one in allowed or ():
        if one in ("*", wanted.full_resource):
            return True
        if wanted.subresource and one == f"*/{wanted.subresource}":
            return True
    return False


def _matches_path(allowed: Sequence[str] | None, path: str) -> bool:
    return any(
        one in ("*", path) or (one.endswith("*") and path.startswith(one[:-1]))
        for one in allowed or ()
    )


def _single(rule: Obj) -> Iterator[Obj]:
    """A rule as rules of one verb, one group and one resource, or one path, each."""
    for verb in rule.get("verbs") or ():
        for path in rule.get("nonResourceURLs") or ():
            yield {"verbs": [verb], "nonResourceURLs": [path]}
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for name in rule.get("resourceNames") or ("",):
                    names = {"resourceNames": [name]} if name else {}
                    part = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                    yield {**part, **names}


def _is_held(held: Sequence[Obj], part: Obj) -> bool:
    verb = part["verbs"][0]
    if paths := part.get("nonResourceURLs"):
        return any(rule_allows(rule, Attributes(verb=verb, path=paths[0])) for rule in held)
    resource, _, subresource = part["resources"][0].partition("/")
    name = (part.get("resourceNames") or [""])[0]
    wanted = Attributes(
        verb=verb,
        group=part["apiGroups"][0],
        resource=resource,
        subresource=subresource,
        name=name,
    )
    return any(rule_allows(rule, wanted) for rule in held)
