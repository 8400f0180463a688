"""Whose a credential is."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from nodrop.apiserver.auth import OWNER, Auth
from nodrop.apiserver.users import BadUser, Users
from nodrop.model.rbac import User

AUTH = Auth("secret")
NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("authorization", "user"),
    [
        ("Bearer secret", OWNER),
        ("bearer  secret ", OWNER),
        ("Bearer other", None),
        ("Basic secret", None),
        ("", None),
        ("Bearer \udcff", None),  # the byte 0xff, as aiohttp hands it on
        ("Bearer sécret", None),
    ],
)
def test_tokens(authorization: str, user: User | None) -> None:
    assert AUTH.user(authorization, None) == user


def test_a_certificate_needs_no_token() -> None:
    subject = ((("organizationName", "shop"),), (("commonName", "ann"),))
    assert AUTH.user("", {"subject": subject}) == User("ann", ("shop",))
    assert AUTH.user("Bearer secret", {"subject": ((("commonName", "bob"),),)}) == User("bob")
    assert AUTH.user("", {"subject": ()}) is None


def test_users_are_known_by_hashed_tokens(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.json")
    auth = Auth("secret", users)
    first = users.add("ann", ("shop",), NOW)
    assert auth.user(f"Bearer {first}", None) == User("ann", ("shop",))
    assert first not in users.path.read_text()
    assert users.path.stat().st_mode & 0o777 == 0o600
    second = users.add("ann", (), NOW)
    assert auth.user(f"Bearer {first}", None) is None
    assert auth.user(f"Bearer {second}", None) == User("ann")


def test_what_another_process_changes_holds_at_once(tmp_path: Path) -> None:
    engine, command = Users(tmp_path / "users.json"), Users(tmp_path / "users.json")
    assert engine.by_token("x") is None
    token = command.add("ann", (), NOW)
    assert engine.by_token(token) == User("ann")
    command.remove("ann")
    assert engine.by_token(token) is None


@pytest.mark.parametrize(
    ("name", "groups", "words"),
    [
        ("system:admin", (), "reserved"),
        ("ann", ("system:masters",), "reserved"),
        ("a/b", (), "'a/b' is not"),
        ("", (), "'' is not"),
        ("a" * 64, (), "1 to 63"),
    ],
)
def test_names_that_are_refused(
    tmp_path: Path, name: str, groups: tuple[str, ...], words: str
) -> None:
    users = Users(tmp_path / "users.json")
    with pytest.raises(BadUser, match=words):
        users.add(name, groups, NOW)
    assert not users.path.exists()


def test_removing_nobody_says_who_there_is(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.json")
    users.add("ann", (), NOW)
    with pytest.raises(BadUser, match="there are: ann"):
        users.remove("bob")
