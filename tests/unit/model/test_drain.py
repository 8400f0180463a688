"""The annotations about a pod's drain, and durations as people write them."""

from __future__ import annotations

import pytest

from nodrop.model.defaults import apply_defaults
from nodrop.model.drain import DrainWishes, read_drain
from nodrop.model.duration import parse_duration_s
from nodrop.model.validate import validate_create
from tests.unit.model import manifests as m


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20s", 20), ("20", 20), ("1m30s", 90), ("500ms", 0.5), ("1.5s", 1.5), ("2h", 7200),
        ("0", 0), ("", None), ("soon", None), ("-1s", None), ("1 s", None), ("1s1", None),
        ("s", None), ("1d", None), ("٣s", None), ("٣", None),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration_s(text) == seconds


def test_wishes_are_read_and_nonsense_counts_as_none() -> None:
    both = {"nodrop.dev/drain-timeout": "7s", "nodrop.dev/stream-drain-timeout": "1m"}
    assert read_drain(both) == DrainWishes(7, 60)
    assert read_drain({"nodrop.dev/drain-timeout": "never"}) == DrainWishes()


@pytest.mark.parametrize(
    ("text", "grace_s", "told"),
    [
        ("20s", 30, ""),
        ("30s", None, ""),
        ("31s", None, "must be at most terminationGracePeriodSeconds (30s)"),
        ("6s", 5, "must be at most terminationGracePeriodSeconds (5s)"),
        ("forever", 30, "must be a duration, such as 20s, 1m30s or 500ms"),
    ],
)
def test_what_is_wrong_with_them_is_told_by_field_and_value(
    text: str, grace_s: int | None, told: str
) -> None:
    deployment = m.deployment()
    template = deployment["spec"]["template"]
    template["metadata"]["annotations"] = {"nodrop.dev/drain-timeout": text}
    if grace_s is not None:
        template["spec"]["terminationGracePeriodSeconds"] = grace_s
    causes = validate_create(apply_defaults(deployment))
    assert bool(causes) is bool(told)
    for cause in causes:
        assert cause.field == "spec.template.metadata.annotations[nodrop.dev/drain-timeout]"
        assert f'"{text}": {told}' in cause.message
