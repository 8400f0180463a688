"""Protobuf bodies: the wire format, Kubernetes' own forms, and what is broken."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodrop.model.protobuf import MAGIC, decode, fields_of

Wire = bytes | int | str


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(*fields: tuple[int, Wire]) -> bytes:
    """Encode fields by number; ints as varints, all else as length and bytes."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def body(api_version: str, kind: str, *fields: tuple[int, Wire]) -> bytes:
    return MAGIC + message((1, message((1, api_version), (2, kind))), (2, message(*fields)))


def deployment(*fields: tuple[int, Wire]) -> bytes:
    """A body with the fields of a Deployment's spec."""
    return body("apps/v1", "Deployment", (2, message(*fields)))


def test_names_maps_and_lists() -> None:
    labels = [(11, message((1, "app"), (2, "web"))), (11, message((1, "tier"), (2, "")))]
    found = decode(body("v1", "Namespace", (1, message((1, "team"), *labels))))
    assert found == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "team", "labels": {"app": "web", "tier": ""}},
    }


def test_bytes_are_base64() -> None:
    found = decode(body("v1", "Secret", (2, message((1, "key"), (2, b"\x00\xff")))))
    assert found["data"] == {"key": "AP8="}


def test_inline_structs_have_no_name_of_their_own() -> None:
    handler = message((2, message((1, "/ready"), (2, message((1, 0), (2, 8080), (3, ""))))))
    probe = message((1, handler), (2, 0), (3, 2))
    container = message((1, "web"), (11, probe))
    found = decode(body("v1", "Pod", (2, message((2, container)))))
    assert found["spec"]["containers"] == [
        {
            "name": "web",
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "timeoutSeconds": 2},
        }
    ]


def rolling(unavailable: bytes, surge: bytes) -> tuple[int, bytes]:
    return 4, message((1, "RollingUpdate"), (2, message((1, unavailable), (2, surge))))


@pytest.mark.parametrize(
    ("sent", "field", "value"),
    [
        ((1, 0), "replicas", 0),  # a pointer: 0 is what was meant (S5: scaled to nothing)
        ((5, 0), "minReadySeconds", None),  # no pointer: Go always writes it
        ((5, 7), "minReadySeconds", 7),
        ((7, 0), "paused", None),
        ((7, 1), "paused", True),
        ((6, -1), "revisionHistoryLimit", -1),
        (
            rolling(message((1, 0), (2, 0)), message((1, 1), (2, 0), (3, "25%"))),
            "strategy",
            {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
        ),
    ],
)
def test_zeros_count_where_go_has_a_pointer(
    sent: tuple[int, Wire], field: str, value: object
) -> None:
    assert decode(deployment(sent))["spec"].get(field) == value


def test_times() -> None:
    stamp = (8, message((1, 1_700_000_000), (2, 5_000_000)))
    found = decode(body("v1", "ConfigMap", (1, message((1, "a"), stamp))))
    assert found["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20Z"
    found = decode(body("v1", "ConfigMap", (1, message((1, "a"), (8, b"")))))
    assert found["metadata"] == {"name": "a"}
    micro = (2, message((1, 1_700_000_000), (2, 5_000)))
    found = decode(body("events.k8s.io/v1", "Event", micro))
    assert found["eventTime"] == "2023-11-14T22:13:20.000005Z"


def test_a_message_in_parts_is_merged_and_unknown_fields_are_passed_over() -> None:
    parts = [(2, message((2, message((1, "a"))))), (2, message((1999, "future"), (1, b"")))]
    assert decode(body("v1", "Pod", *parts[:1]))["spec"] == {"containers": [{"name": "a"}]}
    assert "future" not in str(decode(body("v1", "Pod", *parts)))


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "does not start"),
        (MAGIC, "no apiVersion"),
        (body("v1", "Teapot"), '"Teapot" is not known'),
        (body("apps/v1", "Deployment", (2, b"\x0a\xff")), "cut short"),
        (body("apps/v1", "Deployment", (2, 5)), "number stands where"),
        (deployment((1, "three")), "where a number belongs"),
        (body("v1", "ConfigMap", (1, message((1, b"\xff")))), "not UTF-8"),
        (body("v1", "ConfigMap", (1, message((8, message((1, 1 << 60)))))), "is no time"),
        (MAGIC + message((3, "gzip")), "content encoding 'gzip'"),
        (MAGIC + b"\x0b", "wire type 3"),
    ],
)
def test_broken_bodies_say_what_is_wrong(sent: bytes, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        decode(sent)
    assert words in str(caught.value)


@given(st.binary(max_size=200), st.sampled_from(["Deployment", "Pod", "Secret"]))
def test_no_bytes_make_it_fail_otherwise(raw: bytes, kind: str) -> None:
    version = "apps/v1" if kind == "Deployment" else "v1"
    for sent in (MAGIC + raw, MAGIC + message((1, message((1, version), (2, kind))), (2, raw))):
        with suppress(ValueError):
            assert decode(sent)["kind"]


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 2**64 - 1) | st.binary())))
def test_what_is_written_is_read(fields: Iterable[tuple[int, int | bytes]]) -> None:
    fields = list(fields)
    assert list(fields_of(message(*fields))) == fields
