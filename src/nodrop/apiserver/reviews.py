"""Questions about rights that are answered, not stored: ``kubectl auth can-i``, ``whoami``."""

from __future__ import annotations

from collections.abc import Callable

from nodrop.apiserver.access import Access
from nodrop.apiserver.accounts import ISSUER, Holder
from nodrop.apiserver.auth import Auth
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.kinds import (
    LOCALSUBJECTACCESSREVIEW,
    REVIEWS,
    SELFSUBJECTACCESSREVIEW,
    SELFSUBJECTREVIEW,
    SELFSUBJECTRULESREVIEW,
    SUBJECTACCESSREVIEW,
    TOKENREVIEW,
    Kind,
)
from nodrop.model.meta import Obj
from nodrop.model.rbac import Attributes, User, allows, basic_rules, rules_of

Answer = Callable[[User, Obj], Obj]


def review_at(path: str) -> tuple[Kind, str] | None:
    """The kind of question that is asked at ``path``, and the namespace it names."""
    for kind in REVIEWS:
        root = f"/apis/{kind.api_version}"
        if path == f"{root}/{kind.plural}" and not kind.namespaced:
            return kind, ""
        if kind.namespaced and path.startswith(f"{root}/namespaces/"):
            namespace, _, plural = path.removeprefix(f"{root}/namespaces/").partition("/")
            if plural == kind.plural:
                return kind, namespace
    return None


class Reviews:
    """Answers them by the stored policy, and by who a credential belongs to."""

    def __init__(self, access: Access, auth: Auth) -> None:
        self._access = access
        self._auth = auth
        self._answers: dict[Kind, Answer] = {
            SELFSUBJECTACCESSREVIEW: self._own_access,
            SELFSUBJECTRULESREVIEW: self._rules,
            SELFSUBJECTREVIEW: self._who,
            SUBJECTACCESSREVIEW: self._others_access,
            LOCALSUBJECTACCESSREVIEW: self._local_access,
            TOKENREVIEW: self._token,
        }

    def answer(self, user: User, kind: Kind, namespace: str, asked: Obj) -> Obj:
        """The review with its status. Raises 400 for another kind's, 403 for what is private."""
        if asked.get("kind", kind.kind) != kind.kind:
            raise bad_request(
                f"kind: {asked['kind']!r} was sent to {kind.plural}: send {kind.kind}"
            )
        spec = _object(asked, "spec", "spec")
        for name in _ATTRIBUTES:
            _object(spec, name, f"spec.{name}")
        if namespace:
            attributes = spec.get("resourceAttributes") or {}
            if attributes.get("namespace", namespace) != namespace:
                raise bad_request(
                    "spec.resourceAttributes.namespace: is not the one of the address"
                )
            spec = {**spec, "resourceAttributes": {**attributes, "namespace": namespace}}
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": asked.get("metadata") or {},
            **({"spec": spec} if spec else {}),
            "status": self._answers[kind](user, spec),
        }

    # Private

    def _own_access(self, user: User, spec: Obj) -> Obj:
        allowed = allows(self._access.policy(), user, _attributes(spec))
        return {"allowed": allowed, **({} if allowed else {"reason": _reason(user)})}

    def _others_access(self, user: User, spec: Obj) -> Obj:
        self._check(user, SUBJECTACCESSREVIEW)
        return self._access_of(spec)

    def _local_access(self, user: User, spec: Obj) -> Obj:
        """What an admin of a namespace may ask about others there."""
        namespace = spec["resourceAttributes"]["namespace"]
        self._check(user, LOCALSUBJECTACCESSREVIEW, namespace)
        return self._access_of(spec)

    def _access_of(self, spec: Obj) -> Obj:
        groups = spec.get("groups") or []
        if not isinstance(groups, list):
            raise bad_request("spec.groups: expected a list of strings")
        other = User(str(spec.get("user") or ""), tuple(map(str, groups)))
        if not other.name and not other.groups:
            raise ApiError(
                422, "Invalid", "spec.user: at least one of user or groups must be specified"
            )
        return self._own_access(other, spec)

    def _rules(self, user: User, spec: Obj) -> Obj:
        namespace = spec.get("namespace")
        if not namespace:
            raise bad_request("no namespace on request")
        rules = [*rules_of(self._access.policy(), user, str(namespace)), *basic_rules()]
        everything: Obj = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        if user.is_master:
            rules = [everything, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
        return {
            "resourceRules": [rule for rule in rules if rule.get("resources")],
            "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
            "incomplete": False,
        }

    def _who(self, user: User, spec: Obj) -> Obj:
        return {"userInfo": user.info()}

    def _token(self, user: User, spec: Obj) -> Obj:
        """Whose token it is; one for other audiences than this API by what is asked for."""
        self._check(user, TOKENREVIEW)
        token, audiences = str(spec.get("token") or ""), spec.get("audiences") or [ISSUER]
        if not isinstance(audiences, list):
            raise bad_request("spec.audiences: expected a list of strings")
        holder = self._auth.accounts.holder(token) if self._auth.accounts is not None else None
        if holder is None and (known := self._auth.bearer(token)) is not None:
            holder = Holder(known, (ISSUER,))
        common = [one for one in audiences if holder is not None and one in holder.audiences]
        if holder is None or not common:
            return {"authenticated": False, "error": "the token is not valid, or not for them"}
        return {"authenticated": True, "user": holder.user.info(), "audiences": common}

    def _check(self, user: User, kind: Kind, namespace: str = "") -> None:
        wanted = Attributes(
            verb="create", group=kind.group, resource=kind.plural, namespace=namespace
        )
        self._access.check(user, wanted)


# Private

_ATTRIBUTES = ("resourceAttributes", "nonResourceAttributes")


def _object(holder: Obj, name: str, path: str) -> Obj:
    value = holder.get(name)
    if value is not None and not isinstance(value, dict):
        raise bad_request(f"{path}: expected an object")
    return value or {}


def _attributes(spec: Obj) -> Attributes:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        raise bad_request(
            "spec: exactly one of resourceAttributes and nonResourceAttributes is needed"
        )
    if path is not None:
        return Attributes(verb=str(path.get("verb", "")), path=str(path.get("path", "")))
    assert resource is not None
    text = {name: str(resource.get(name) or "") for name in _FIELDS}
    return Attributes(**text)


_FIELDS = ("verb", "group", "resource", "subresource", "namespace", "name")


def _reason(user: User) -> str:
    return f'no Role or ClusterRole that is bound to user "{user.name}" allows it'
