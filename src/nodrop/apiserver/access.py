"""May this user do what this request asks for? Attributes of requests, and the stored policy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from aiohttp import web

from nodrop.apiserver.impersonation import Headers, impersonated, rights_needed
from nodrop.apiserver.parameters import flag
from nodrop.apiserver.paths import STREAMED, Target
from nodrop.apiserver.revocation import revocable
from nodrop.client.protocol import ALL
from nodrop.client.selectors import parse_field_selector
from nodrop.model.errors import ApiError, not_found
from nodrop.model.kinds import (
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    MEASURED,
    NAMESPACE,
    ROLE,
    ROLEBINDING,
    Kind,
)
from nodrop.model.meta import Obj, ObjectKey
from nodrop.model.rbac import (
    Attributes,
    Policy,
    User,
    allows,
    exceeding,
    forbidden_message,
    role_of,
)
from nodrop.registry.interface import Registry

_GRANTS = (ROLE, CLUSTERROLE, ROLEBINDING, CLUSTERROLEBINDING)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who sends a request; ``again`` tells who does by what holds now, or raises 401 or 403."""

    user: User
    again: Callable[[], User]


def set_speaker(request: web.Request, speaker: Speaker) -> None:
    request[_SPEAKER] = speaker


def user_of(request: web.Request) -> User:
    """Who sent the request; the credentials' middleware has set it."""
    return request[_SPEAKER].user


_SPEAKER = web.RequestKey("speaker", Speaker)


class Access:
    """Decides by the Roles and bindings in the registry, as they are at this moment."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def policy(self) -> Policy:
        """The stored objects that decide."""
        listed = (self._registry.list(kind, ALL).items for kind in _POLICY_KINDS)
        return Policy(*(tuple(items) for items in listed))

    def check_target(self, request: web.Request, target: Target) -> None:
        """Raise 403 unless the user may do this to ``target``."""
        self.check(user_of(request), attributes_of(request, target))

    def check_apply(
        self, request: web.Request, target: Target, find: Callable[[ObjectKey], Obj]
    ) -> None:
        """Raise 403 when an apply would create an object, and the user may only patch.

        ``find`` raises 404 for what is not there.
        """
        user = user_of(request)
        if user.is_master or target.subresource is not None:
            return
        try:
            find(target.key)
        except ApiError as error:
            if error.code != 404:
                raise
            self.check(user, replace(attributes_of(request, target), verb="create"))

    def while_allowed(self, request: web.Request, target: Target) -> AbstractContextManager[None]:
        """Close the connection when the user is none any more, or may not do this any longer."""
        wanted, identify = attributes_of(request, target), request[_SPEAKER].again
        return revocable(request.transport, lambda: self.check(identify(), wanted))

    def check_path(self, request: web.Request) -> None:
        """Raise 403 unless the user may read this path: what is measured, or no resource."""
        wanted = _measured(request) or Attributes(verb=request.method.lower(), path=request.path)
        self.check(user_of(request), wanted)

    def acting(self, user: User, headers: Headers) -> User:
        """Whom ``user`` speaks as: another one if ``headers`` ask for that. Raises 400, 403."""
        other = impersonated(headers)
        if other is None:
            return user
        for wanted in rights_needed(other):
            self.check(user, wanted)
        return other

    def check(self, user: User, wanted: Attributes) -> None:
        """Raise 403 unless ``user`` may do what is ``wanted``."""
        if not user.is_master and not allows(self.policy(), user, wanted):
            raise _forbidden(user, wanted)

    def grants(self, target: Target) -> bool:
        """Whether writing to ``target`` hands out rights."""
        return target.kind in _GRANTS

    def check_grant(self, user: User, kind: Kind, obj: Obj) -> None:
        """Raise 403 when a Role or binding, as it will be, gives more than its writer has."""
        if user.is_master:
            return
        policy, namespace = self.policy(), obj["metadata"].get("namespace", "")
        giving = kind in (ROLE, CLUSTERROLE)
        role_kind, name = (kind, obj["metadata"]["name"]) if giving else _role_named(obj)
        wanted = Attributes(
            verb="escalate" if giving else "bind",
            group=role_kind.group,
            resource=role_kind.plural,
            namespace=namespace,
            name=name,
        )
        if allows(policy, user, wanted):
            return
        role = obj if giving else role_of(policy, obj)
        if role is None:  # bound now, it would give whatever somebody writes into it later
            raise not_found(role_kind, name)
        rules = role.get("rules") or ()
        if extra := exceeding(policy, user, namespace, rules):
            raise _escalates(user, kind, obj, extra)


_POLICY_KINDS = (CLUSTERROLE, ROLE, CLUSTERROLEBINDING, ROLEBINDING)


def attributes_of(request: web.Request, target: Target) -> Attributes:
    """What a request for a resource wants to do."""
    return Attributes(
        verb=_verb(request, target),
        group=target.kind.group,
        resource=target.kind.plural,
        subresource=target.subresource or "",
        # A Namespace itself counts as inside of it, as upstream has it.
        namespace=target.name if target.kind == NAMESPACE else target.namespace or "",
        name=target.name or _selected_name(request),
    )


# Private


def _selected_name(request: web.Request) -> str:
    """The one object that a list or watch is about: a right to it by name is enough."""
    selector = request.query.get("fieldSelector", "")
    if request.method not in ("GET", "HEAD") or "metadata.name" not in selector:
        return ""
    try:
        return dict(parse_field_selector(selector).equal).get("metadata.name", "")
    except ApiError:
        return ""  # answered with 400 if any list is allowed


def _role_named(binding: Obj) -> tuple[Kind, str]:
    ref = binding["roleRef"]
    return (CLUSTERROLE if ref["kind"] == CLUSTERROLE.kind else ROLE), ref["name"]


def _measured(request: web.Request) -> Attributes | None:
    """What of ``metrics.k8s.io`` is asked for: ``…/[namespaces/N/]pods[/NAME]``, ``…/nodes``."""
    for kind in MEASURED:
        root = f"/apis/{kind.api_version}/"
        if not request.path.startswith(root):
            continue
        parts = request.path.removeprefix(root).split("/")
        namespace = parts[1] if parts[0] == "namespaces" and len(parts) > 2 else ""
        resource, *name = parts[2:] if namespace else parts
        if resource == kind.plural:
            return Attributes(
                verb="get" if name else "list",
                group=kind.group,
                resource=resource,
                namespace=namespace,
                name="/".join(name),
            )
    return None


def _verb(request: web.Request, target: Target) -> str:
    if target.subresource in STREAMED:
        # WebSocket has to begin with GET, and to read is not to run: always create, and only that.
        return "create"
    match request.method:
        case "GET" | "HEAD":
            if flag(request.query, "watch") and target.subresource is None:
                return "watch"
            return "get" if target.name else "list"
        case "DELETE":
            return "delete" if target.name else "deletecollection"
        case method:
            return _VERBS.get(method, method.lower())


def _forbidden(user: User, wanted: Attributes) -> ApiError:
    details: Obj = {"name": wanted.name, "group": wanted.group, "kind": wanted.resource}
    return ApiError(
        403,
        "Forbidden",
        forbidden_message(user, wanted),
        {key: value for key, value in details.items() if value},
    )


def _escalates(user: User, kind: Kind, obj: Obj, extra: list[Obj]) -> ApiError:
    name = obj["metadata"].get("name", "")
    listed = "; ".join(
        f"{','.join(rule.get('verbs') or ())} {','.join(rule.get('resources') or ())}"
        for rule in extra
    )
    return ApiError(
        403,
        "Forbidden",
        f'{kind.resource} "{name}" is forbidden: user "{user.name}" is attempting to grant '
        f"RBAC permissions not currently held: {listed}",
        {"name": name, "group": kind.group, "kind": kind.plural},
    )
