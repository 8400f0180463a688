"""Whom a request wants to act as, and what right that needs."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from nodrop.apiserver.impersonation import impersonated, rights_needed
from nodrop.model.errors import ApiError
from nodrop.model.rbac import User, forbidden_message

BOT = "system:serviceaccount:ci:bot"


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        ([], None),
        ([("X-Impersonate-User", "ann")], None),
        ([("Impersonate-User", "")], None),
        ([("impersonate-user", "ann")], User("ann")),
        (
            [("Impersonate-User", "ann"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")],
            User("ann", ("a", "b")),
        ),
        ([("Impersonate-User", "ann"), ("Impersonate-Uid", "7")], User("ann", uid="7")),
        (
            [
                ("Impersonate-User", "ann"),
                ("Impersonate-Extra-Acme.com%2fteam", "x"),
                ("Impersonate-Extra-acme.com%2Fteam", "y"),
            ],
            User("ann", extra=(("acme.com/team", ("x", "y")),)),
        ),
        (
            [("Impersonate-User", BOT)],
            User(BOT, ("system:serviceaccounts", "system:serviceaccounts:ci")),
        ),
        ([("Impersonate-User", BOT), ("Impersonate-Group", "a")], User(BOT, ("a",))),
    ],
)
def test_headers(headers: list[tuple[str, str]], user: User | None) -> None:
    assert impersonated(CIMultiDict(headers)) == user


@pytest.mark.parametrize(
    "headers",
    [
        [("Impersonate-Group", "a")],
        [("Impersonate-Uid", "a")],
        [("Impersonate-Extra-scopes", "a")],
        [("Impersonate-User", "a"), ("Impersonate-User", "b")],
    ],
)
def test_half_said_wishes_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ApiError) as caught:
        impersonated(CIMultiDict(headers))
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("user", "rights"),
    [
        (User("ann", ("a",)), ['users "ann"', 'groups "a"']),
        (User(BOT, ("system:serviceaccounts", "system:serviceaccounts:ci")), ['"bot"']),
        (User(BOT, ("system:masters",)), ['"bot"', 'groups "system:masters"']),
        (User("ann", uid="7"), ['users "ann"', 'uids.authentication.k8s.io "7"']),
        (
            User("ann", extra=(("scopes", ("x", "y")),)),
            ['users "ann"', 'cannot impersonate resource "userextras/scopes"', '"y"'],
        ),
    ],
)
def test_rights_that_are_needed(user: User, rights: list[str]) -> None:
    told = [forbidden_message(User("me"), wanted) for wanted in rights_needed(user)]
    assert len(told) == len(rights)
    assert all(right in message for right, message in zip(rights, told, strict=True))


def test_an_account_is_impersonated_in_its_namespace() -> None:
    (wanted,) = rights_needed(User(BOT, ("system:serviceaccounts",)))
    assert (wanted.resource, wanted.namespace, wanted.name) == ("serviceaccounts", "ci", "bot")
