"""The mend that is told with an error of the API."""

from __future__ import annotations

import pytest

from nodrop.cli.hints import NOT_FOUND, hint_for
from nodrop.model.errors import ApiError, not_found
from nodrop.model.kinds import NAMESPACE, POD


@pytest.mark.parametrize(
    ("error", "expected"),
    [(not_found(POD, "web"), NOT_FOUND), (ValueError("no API error"), "")],
)
def test_a_name_that_is_not_there_is_answered_with_where_names_are(
    error: ApiError | ValueError, expected: str
) -> None:
    assert hint_for(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (not_found(NAMESPACE, "shop"), "kubectl create namespace shop"),
        (
            ApiError(
                422,
                "Invalid",
                "[spec.selector: Required value, spec.template.metadata.labels: Invalid value: {}: "
                "`selector` does not match template `labels`]",
            ),
            "give spec.selector.matchLabels",
        ),
    ],
)
def test_the_hint_is_about_what_is_missing(error: ApiError, expected: str) -> None:
    assert expected in hint_for(error)
