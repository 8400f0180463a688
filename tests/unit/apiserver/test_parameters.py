from datetime import timedelta

import pytest

from nodrop.apiserver.parameters import (
    delete_options,
    eviction_options,
    list_options,
    log_options,
    write_options,
)
from nodrop.model.errors import ApiError


def test_a_list_reads_its_query() -> None:
    options = list_options(
        {
            "labelSelector": "app=web",
            "fieldSelector": "metadata.name=x",
            "resourceVersion": "12",
            "limit": "5",
            "timeoutSeconds": "7",
            "watch": "1",
            "allowWatchBookmarks": "true",
        },
        "default",
    )
    assert options.scope.namespace == "default"
    assert options.scope.fields == (("metadata.name", "x"),)
    assert (options.revision, options.limit, options.timeout_s) == (12, 5, 7.0)
    assert options.watch
    assert options.bookmarks


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ({"resourceVersion": "x"}, 400, "not a whole number"),
        ({"limit": "many"}, 400, "not a whole number"),
        ({"limit": "9" * 30}, 400, "not a whole number of 64 bits"),
        ({"timeoutSeconds": "9" * 5000}, 400, "not a whole number of 64 bits"),
        ({"resourceVersion": "9" * 5000}, 400, "not a whole number"),
        ({"sendInitialEvents": "true"}, 422, "sendInitialEvents is forbidden for list"),
        (
            {"watch": "true", "sendInitialEvents": "true"},
            422,
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
            422,
            'Unsupported value: "Exact": supported values: "NotOlderThan"',
        ),
        ({"resourceVersionMatch": "Exact"}, 422, "unless resourceVersion is provided"),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422, "is forbidden for"),
        ({"resourceVersionMatch": "Near", "resourceVersion": "1"}, 422, "Unsupported value"),
    ],
)
def test_a_list_that_can_not_be(query: dict[str, str], code: int, words: str) -> None:
    with pytest.raises(ApiError, match=words) as failure:
        list_options(query, None)
    assert failure.value.code == code


def test_delete_options_come_from_the_body_before_the_query() -> None:
    body = {
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u", "resourceVersion": "3"},
        "dryRun": ["All"],
    }
    options = delete_options({"gracePeriodSeconds": "9"}, body)
    assert (options.propagation, options.grace_period_s) == ("Foreground", 0)
    assert (options.uid, options.revision, options.dry_run) == ("u", 3, True)
    assert delete_options({"gracePeriodSeconds": "9"}, {}).grace_period_s == 9
    assert delete_options({"orphanDependents": "true"}, {}).propagation == "Orphan"


@pytest.mark.parametrize(
    "body",
    [
        {"preconditions": 5},
        {"preconditions": {"uid": 5}},
        {"preconditions": {"resourceVersion": 5}},
        {"dryRun": "All"},
        {"dryRun": [1]},
        {"gracePeriodSeconds": True},
        {"propagationPolicy": ["Orphan"]},
    ],
)
def test_delete_options_of_another_type_are_refused(body: dict[str, object]) -> None:
    for eviction in ({"deleteOptions": body}, {"deleteOptions": [body]}):
        with pytest.raises(ApiError) as failure:
            eviction_options({}, eviction)
        assert failure.value.code == 400


@pytest.mark.parametrize(
    "query",
    [{"dryRun": "Some"}, {"fieldValidation": "Perhaps"}],
)
def test_write_options_that_are_unknown_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(ApiError, match="Unsupported value"):
        write_options(query)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            {"sinceSeconds": "1", "sinceTime": "2026-11-23T10:00:00Z"},
            "at most one of `sinceTime` or `sinceSeconds`",
        ),
        ({"tailLines": "-1"}, "must be greater than or equal to 0"),
        ({"limitBytes": "0"}, "must be greater than 0"),
        ({"stream": "stdout"}, 'supported values: "All", "Stderr", "Stdout"'),
        ({"stream": "Stdout", "tailLines": "3"}, "mutually exclusive"),
    ],
)
def test_log_options_that_can_not_be(query: dict[str, str], words: str) -> None:
    with pytest.raises(ApiError, match=words) as failure:
        log_options(query)
    assert failure.value.code == 422


def test_logs_since_ages_ago_can_be_reckoned_with() -> None:
    since_s = log_options({"sinceSeconds": str(2**62)}).since_s
    assert since_s is not None
    assert timedelta(seconds=since_s) > timedelta(days=30_000)
