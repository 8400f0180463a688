"""Query parameters and delete bodies, read into typed options; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from nodrop.apiserver.streams import LogOptions, OutputStream
from nodrop.client.protocol import Scope
from nodrop.client.selectors import parse_field_selector, parse_label_selector
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.meta import Obj, Revision, parse_time
from nodrop.registry.interface import DeleteOptions, FieldValidation, WriteOptions

Query = Mapping[str, str]
_INT64 = 1 << 63
#: As many as 64 bits have.
_REVISION_DIGITS = 20
#: Logs are younger than this: times so far back can still be reckoned with.
_SINCE_AT_MOST_S = 100 * 365 * 86400
_TRUE = frozenset({"true", "1", "True", "TRUE", "t", "T"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """metav1.ListOptions. ``revision`` None = unset; 0 = any will do.

    ``initial_events`` True: a watch begins with the state as it is, then a bookmark that says so;
    False: it begins with none; None: as the revision says.
    """

    scope: Scope
    watch: bool
    limit: int
    continue_token: str
    revision: Revision | None
    exact: bool
    timeout_s: float | None
    bookmarks: bool
    initial_events: bool | None = None


def list_options(query: Query, namespace: str | None) -> ListOptions:
    """Options of a list or watch. Raises ApiError 400 or 422."""
    watch = flag(query, "watch")
    match = query.get("resourceVersionMatch", "")
    _check_match(query, match, watch=watch)
    timeout = whole(query, "timeoutSeconds")
    fields = parse_field_selector(query.get("fieldSelector", ""))
    return ListOptions(
        scope=Scope(
            namespace,
            parse_label_selector(query.get("labelSelector", "")),
            fields.equal,
            fields.unequal,
        ),
        watch=watch,
        limit=max(0, whole(query, "limit") or 0),
        continue_token=query.get("continue", ""),
        revision=_revision(query.get("resourceVersion", "")),
        exact=match == "Exact",
        timeout_s=float(timeout) if timeout else None,
        bookmarks=flag(query, "allowWatchBookmarks"),
        initial_events=flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None,
    )


def write_options(query: Query, user_agent: str = "") -> WriteOptions:
    """dryRun, fieldValidation, fieldManager and force. Raises ApiError 400.

    Who names no field manager is known by what stands before the slash of its User-Agent.
    """
    return WriteOptions(
        dry_run=_dry_run(query.get("dryRun", "")),
        field_validation=_field_validation(query.get("fieldValidation", "")),
        field_manager=query.get("fieldManager") or user_agent.partition("/")[0][:128],
        force=flag(query, "force"),
    )


def eviction_options(query: Query, eviction: Obj) -> DeleteOptions:
    """The DeleteOptions inside of a policy/v1 Eviction. Raises ApiError 400."""
    return delete_options(query, _field(eviction, "deleteOptions", dict) or {})


def delete_options(query: Query, body: Obj) -> DeleteOptions:
    """metav1.DeleteOptions of the body; where it is silent, of the query. Raises ApiError 400."""
    grace = _field(body, "gracePeriodSeconds", int)
    if grace is None:
        grace = whole(query, "gracePeriodSeconds")
    preconditions = _field(body, "preconditions", dict) or {}
    dry_run = [str(one) for one in _field(body, "dryRun", list) or ()]
    orphan = body.get("orphanDependents", query.get("orphanDependents") in _TRUE)
    wanted = body.get("propagationPolicy") or query.get("propagationPolicy")
    return DeleteOptions(
        grace_period_s=grace,
        propagation=_propagation(wanted or ("Orphan" if orphan is True else "Background")),
        uid=_field(preconditions, "uid", str),
        revision=_revision(_field(preconditions, "resourceVersion", str) or ""),
        dry_run=_dry_run(",".join(dry_run) or query.get("dryRun", "")),
    )


def log_options(query: Query) -> LogOptions:
    """corev1.PodLogOptions. Raises ApiError 422 as upstream does."""
    since_s, tail = whole(query, "sinceSeconds"), whole(query, "tailLines")
    limit = whole(query, "limitBytes")
    since_time = query.get("sinceTime", "")
    if since_s is not None and since_time:
        raise _invalid_log_options(
            "", "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        )
    if tail is not None and tail < 0:
        raise _invalid_log_options(
            "tailLines", f"Invalid value: {tail}: must be greater than or equal to 0"
        )
    stream = _output_stream(query.get("stream", ""), tail)
    for name, value in (("limitBytes", limit), ("sinceSeconds", since_s)):
        if value is not None and value < 1:
            raise _invalid_log_options(name, f"Invalid value: {value}: must be greater than 0")
    return LogOptions(
        container=query.get("container", ""),
        follow=flag(query, "follow"),
        previous=flag(query, "previous"),
        timestamps=flag(query, "timestamps"),
        since_s=min(since_s, _SINCE_AT_MOST_S) if since_s is not None else None,
        since_time=_time("sinceTime", since_time) if since_time else None,
        tail_lines=tail,
        limit_bytes=limit,
        stream=stream,
    )


def flag(query: Query, name: str) -> bool:
    return query.get(name, "") in _TRUE


def whole(query: Query, name: str) -> int | None:
    """A whole number, or None when unset. Raises ApiError 400."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or not -_INT64 <= number < _INT64:
        raise bad_request(f'{name}: "{text[:40]}" is not a whole number of 64 bits')
    return number


# Private

_T = TypeVar("_T")
_CALLED = {int: "a whole number", str: "a string", list: "a list", dict: "an object"}


def _field(body: Obj, name: str, type: type[_T]) -> _T | None:
    """A field of a body, or None when it is unset. Raises ApiError 400 for another type."""
    value = body.get(name)
    if value is None or (isinstance(value, type) and not isinstance(value, bool)):
        return value
    raise bad_request(f"{name}: {value!r} is not {_CALLED[type]}")


def _check_match(query: Query, match: str, *, watch: bool) -> None:
    if query.get("sendInitialEvents"):
        _check_initial_events(match, watch=watch)
        return
    if not match:
        return
    if watch:
        raise _invalid_list_options(
            "resourceVersionMatch",
            "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
            "provided",
        )
    if match not in ("Exact", "NotOlderThan"):
        raise _invalid_list_options(
            "resourceVersionMatch",
            f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"',
        )
    if match == "Exact" and query.get("resourceVersion") == "0":
        raise _invalid_list_options(
            "resourceVersionMatch",
            'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        )
    if not query.get("resourceVersion"):
        raise _invalid_list_options(
            "resourceVersionMatch",
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        )


def _check_initial_events(match: str, *, watch: bool) -> None:
    if not watch:
        raise _invalid_list_options(
            "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"
        )
    if not match:
        raise _invalid_list_options(
            "resourceVersionMatch",
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )
    if match != "NotOlderThan":
        raise _invalid_list_options(
            "resourceVersionMatch",
            f'Unsupported value: "{match}": supported values: "NotOlderThan"',
        )


def _invalid_list_options(field: str, message: str) -> ApiError:
    return _invalid("ListOptions.meta.k8s.io", field, message)


def _output_stream(text: str, tail: int | None) -> OutputStream | None:
    """Upstream's split log streams: All, Stdout or Stderr."""
    match text:
        case "" | "All":
            return None
        case "Stdout" | "Stderr" if tail is not None:
            raise _invalid_log_options(
                "", "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"
            )
        case "Stdout":
            return "stdout"
        case "Stderr":
            return "stderr"
    why = f'Unsupported value: "{text}": supported values: "All", "Stderr", "Stdout"'
    raise _invalid_log_options("stream", why)


def _invalid_log_options(field: str, message: str) -> ApiError:
    return _invalid("PodLogOptions", field, message)


def _invalid(what: str, field: str, message: str) -> ApiError:
    text = f"{field}: {message}" if field else message
    cause = {"reason": "FieldValueInvalid", "message": message, "field": field}
    kind, _, group = what.partition(".")
    details: Obj = {"group": group, "kind": kind, "causes": [cause]}
    return ApiError(422, "Invalid", f'{what} "" is invalid: {text}', details)


def _revision(text: str) -> Revision | None:
    if not text:
        return None
    if not text.isdecimal() or len(text) > _REVISION_DIGITS:
        raise bad_request(f'resourceVersion: Invalid value: "{text[:40]}": not a whole number')
    return Revision(int(text))


def _dry_run(text: str) -> bool:
    if text not in ("", "All"):
        raise bad_request(f'dryRun: Unsupported value: "{text}": supported values: "All"')
    return text == "All"


def _field_validation(text: str) -> FieldValidation:
    match text:
        case "":
            return "Warn"
        case "Strict" | "Warn" | "Ignore":
            return text
    raise bad_request(
        f'fieldValidation: Unsupported value: "{text}": '
        'supported values: "Ignore", "Strict", "Warn"'
    )


def _propagation(text: Any) -> Literal["Background", "Foreground", "Orphan"]:
    match text:
        case "Background" | "Foreground" | "Orphan":
            found: Literal["Background", "Foreground", "Orphan"] = text
            return found
    raise bad_request(
        f'propagationPolicy: Unsupported value: "{text}": '
        'supported values: "Background", "Foreground", "Orphan"'
    )


def _time(name: str, text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise bad_request(f'{name}: "{text}" is not an RFC 3339 time') from error
