"""Which credentials are let in."""

from __future__ import annotations

import pytest

from nodrop.apiserver.auth import Auth

AUTH = Auth("secret")


@pytest.mark.parametrize(
    ("authorization", "admitted"),
    [
        ("Bearer secret", True),
        ("bearer  secret ", True),
        ("Bearer other", False),
        ("Basic secret", False),
        ("", False),
        ("Bearer \udcff", False),  # the byte 0xff, as aiohttp hands it on
        ("Bearer sécret", False),
    ],
)
def test_tokens(authorization: str, admitted: bool) -> None:
    assert AUTH.admits(authorization, None) == admitted


def test_a_certificate_needs_no_token() -> None:
    assert AUTH.admits("", {"subject": ()})
