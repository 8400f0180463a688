"""Acting as somebody else: the ``Impersonate-*`` headers, and the right to use them; pure.

Source: kubernetes.io/docs/reference/access-authn-authz/authentication, "User impersonation".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol
from urllib.parse import unquote

from nodrop.model.errors import bad_request
from nodrop.model.rbac import Attributes, User
from nodrop.model.serviceaccount import account_groups, account_of

_EXTRA = "impersonate-extra-"
_VERB = "impersonate"
_AUTHENTICATION = "authentication.k8s.io"


class Headers(Protocol):
    """What is needed of a request's headers; names are compared without case."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def impersonated(headers: Headers) -> User | None:
    """Whom the request wants to act as, or None. Raises 400 for a half-said wish."""
    names, groups, uids = [], [], []
    extra: dict[str, list[str]] = {}
    for header, value in headers.items():
        match header.lower():
            case name if not name.startswith("impersonate-"):
                continue
            case "impersonate-user":
                names.append(value)
            case "impersonate-group":
                groups.append(value)
            case "impersonate-uid":
                uids.append(value)
            case name if name.startswith(_EXTRA):
                extra.setdefault(unquote(name.removeprefix(_EXTRA)), []).append(value)
    if not any(names):
        if groups or uids or extra:
            raise bad_request("groups, uid or extra were asked for without impersonating a user")
        return None
    if len(names) > 1 or len(uids) > 1:
        raise bad_request("one user, with one uid, can be impersonated at a time")
    return User(
        names[0],
        tuple(groups) or _implied_groups(names[0]),
        uids[0] if uids else "",
        tuple((name, tuple(values)) for name, values in extra.items()),
    )


def rights_needed(user: User) -> Iterator[Attributes]:
    """What somebody must be allowed in order to act as ``user``."""
    if account := account_of(user.name):
        namespace, name = account
        yield Attributes(verb=_VERB, resource="serviceaccounts", namespace=namespace, name=name)
    else:
        yield Attributes(verb=_VERB, resource="users", name=user.name)
    implied = _implied_groups(user.name)
    for group in user.groups:
        if group not in implied:
            yield Attributes(verb=_VERB, resource="groups", name=group)
    if user.uid:
        yield Attributes(verb=_VERB, group=_AUTHENTICATION, resource="uids", name=user.uid)
    for key, values in user.extra:
        for value in values:
            yield Attributes(
                verb=_VERB,
                group=_AUTHENTICATION,
                resource="userextras",
                subresource=key,
                name=value,
            )


# Private


def _implied_groups(name: str) -> tuple[str, ...]:
    """The groups that a service account is in of itself."""
    account = account_of(name)
    return account_groups(account[0]) if account else ()
