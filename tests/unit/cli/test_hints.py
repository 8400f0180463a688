"""The mend that is told with an error of the API."""

from __future__ import annotations

import pytest

from nodrop.cli.hints import NOT_FOUND, hint_for
from nodrop.model.errors import ApiError, not_found
from nodrop.model.kinds import POD


@pytest.mark.parametrize(
    ("error", "expected"),
    [(not_found(POD, "web"), NOT_FOUND), (ValueError("no API error"), "")],
)
def test_a_name_that_is_not_there_is_answered_with_where_names_are(
    error: ApiError | ValueError, expected: str
) -> None:
    assert hint_for(error) == expected
