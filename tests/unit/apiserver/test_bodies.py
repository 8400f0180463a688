"""Bodies: fields that stand twice, as upstream tells them, and YAML that would grow."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nodrop.apiserver.bodies import (
    decode_object,
    decode_patch,
    doubled_fields,
    doubled_in_patch,
)
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP, DEPLOYMENT
from nodrop.model.schema import decode_strictness, without_unknown
from nodrop.registry.interface import FieldValidation, PatchType

YAML = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, name: b}
spec:
  replicas: 1
  replicas: 2
  1: x
  1: y
  template:
    a: 1
  template:
    - b: 1
      b:
        c: 1
"""
LINES = (
    'line 3: key "name" already set in map',
    'line 6: key "replicas" already set in map',
    "line 8: key 1 already set in map",
    'line 12: key "template" already set in map',
    'line 14: key "b" already set in map',
)
JSON = b'{"spec":{"replicas":1,"replicas":2}}'
DOUBLED = 'duplicate field "spec.replicas"'
MERGE, STRATEGIC, JSON_PATCH, APPLY = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
)


def by_line(texts: tuple[str, ...]) -> list[str]:
    return sorted(texts, key=lambda text: int(text.split(":")[0].removeprefix("line ")))


def test_keys_of_yaml_that_stand_twice_are_told_by_line() -> None:
    found = doubled_fields(DEPLOYMENT, YAML.encode(), "application/yaml", "Warn")
    assert by_line(found) == list(LINES)
    with pytest.raises(ApiError) as refused:
        doubled_fields(DEPLOYMENT, b"a: 1\na: 2\n", "application/yaml", "Strict")
    assert (refused.value.code, refused.value.message) == (
        400,
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'yaml: unmarshal errors:\n  line 2: key "a" already set in map',
    )


@pytest.mark.parametrize("media", ["application/json", "application/yaml"])
@pytest.mark.parametrize(
    ("body", "validation"),
    [(JSON, "Ignore"), (b'{"a":{"b":1},"b":1,"c":[{"b":1},{"b":1}]}', "Warn")],
)
def test_nothing_is_told_where_nothing_is_asked_or_doubled(
    media: str, body: bytes, validation: FieldValidation
) -> None:
    patch_types: tuple[PatchType, ...] = ("merge", "apply")
    assert doubled_fields(DEPLOYMENT, body, media, validation) == ()
    for patch_type in patch_types:
        assert doubled_in_patch(body, patch_type, validation) == ()


@pytest.mark.parametrize(
    ("content_type", "body", "warnings", "code", "message"),
    [
        (MERGE, JSON, (DOUBLED,), 422, f"strict decoding error: {DOUBLED}"),
        (STRATEGIC, JSON, (DOUBLED,), 422, f"strict decoding error: {DOUBLED}"),
        (
            JSON_PATCH,
            b'[{"op":"remove","op":"test","path":"/a","value":1}]',
            ('json patch duplicate field "[0].op"',),
            422,
            'strict decoding error: json patch duplicate field "[0].op"',
        ),
        (
            APPLY,
            b"spec:\n  a: 1\n  a: 2\n",
            ('line 3: key "a" already set in map',),
            400,
            "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
            '  line 3: key "a" already set in map',
        ),
        (
            APPLY,
            JSON,
            ('line 1: key "replicas" already set in map',),
            400,
            'line 1: key "replicas" already set in map',
        ),
    ],
)
def test_fields_of_a_patch_that_stand_twice(
    content_type: str, body: bytes, warnings: tuple[str, ...], code: int, message: str
) -> None:
    _, patch_type = decode_patch(body, content_type)
    assert doubled_in_patch(body, patch_type, "Warn") == warnings
    assert doubled_in_patch(body, patch_type, "Ignore") == ()
    with pytest.raises(ApiError) as refused:
        doubled_in_patch(body, patch_type, "Strict")
    assert refused.value.code == code
    assert refused.value.message.endswith(message)
    if code == 422:
        assert refused.value.message.startswith(' "" is invalid: patch: Invalid value: "')
        assert refused.value.details["causes"][0]["field"] == "patch"


@pytest.mark.parametrize("patch_type", ["merge", "strategic", "apply"])
def test_numbers_that_only_one_decoder_takes_are_no_failure(patch_type: PatchType) -> None:
    doubled_in_patch(b'{"a":' + b"1" * 5000 + b"}", patch_type, "Warn")


@pytest.mark.parametrize(
    ("body", "applied"),
    [
        (b'{"data": {"a": "on", "b": 1e3}}', {"data": {"a": "on", "b": 1000.0}}),
        (b"data: {a: 'on', b: 1}\n", {"data": {"a": "on", "b": 1}}),
        (b"{data: {a: '\\'}}", {"data": {"a": "\\"}}),
        (b"a: 2026-01-01\nb: [1]\n", {"a": "2026-01-01", "b": [1]}),
    ],
)
def test_an_applied_body_is_json_or_yaml(body: bytes, applied: object) -> None:
    assert decode_patch(body, APPLY) == (applied, "apply")


@pytest.mark.parametrize("body", [b"[1", b"a: b: c", b"\xff", b"a: ["])
def test_what_is_neither_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        decode_patch(body, APPLY)
    assert refused.value.code == 400


def test_aliases_that_would_grow_without_bound_are_refused() -> None:
    names = [f"a{level}" for level in range(12)]
    lines = [f"{names[0]}: &{names[0]} [{','.join('x' * 10)}]"]
    lines += [f"{two}: &{two} [{','.join([f'*{one}'] * 10)}]" for one, two in pairwise(names)]
    for body in ("\n".join(lines), "a: &a [*a]", "a: &a\n  b: *a\n"):
        with pytest.raises(ApiError, match="document contains excessive aliasing"):
            decode_object(body.encode(), "application/yaml")
    shared = decode_object(b"a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n", "application/yaml")
    assert shared == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


@pytest.mark.parametrize("body", [b"- " * 100_000 + b"a", b"a: " + b"[" * 100_000])
def test_yaml_that_is_nested_too_deep_does_not_end_the_process(body: bytes) -> None:
    """libyaml's binding puts nodes together on the C stack, without any bound."""
    with pytest.raises(RecursionError):  # told as 400 by the application
        decode_object(body, "application/yaml")


def test_yaml_is_read_into_what_json_has() -> None:
    body = b"{2: a, yes: b, 1.5: c, 2001-01-01: d, e: 2001-01-01, f: !!str 5, g: !!null x}"
    assert decode_object(body, "application/yaml") == {
        "2": "a",
        "true": "b",
        "1.5": "c",
        "2001-01-01": "d",
        "e": "2001-01-01",
        "f": "5",
        "g": None,
    }


@pytest.mark.parametrize(
    "text",
    [
        *("~: a", "[a]: b", "a: !!bool x", "a: !!set {b}", "a: !!binary aGk=", "a: !!omap [b: 1]"),
        *("a: !!timestamp 2001-01-01", "a: !b c", "a: ="),
    ],
)
def test_yaml_that_json_can_not_hold_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        decode_object(text.encode(), "application/yaml")
    assert refused.value.code == 400


def test_merge_keys_are_not_told_as_doubled() -> None:
    body = b"x: &x {a: 1}\ny: &y {b: 1}\nz:\n  <<: *x\n  <<: *y\n  a: 2\n"
    assert doubled_fields(DEPLOYMENT, body, "application/yaml", "Warn") == ()


def test_what_is_told_of_doubled_fields_is_bounded() -> None:
    """A long name above many doubled fields: 9 GiB of paths from a body of 1 MB."""
    name, twice = "p" * 1_000_000, ",".join(f'"k{n}":1,"k{n}":1' for n in range(5_000))
    body = f'{{"{name}":{{{twice}}}}}'.encode()
    for told in (
        doubled_fields(DEPLOYMENT, body, "application/json", "Warn"),
        doubled_in_patch(body, "merge", "Warn"),
        doubled_fields(
            DEPLOYMENT,
            b"? &k " + name.encode() + b"\n: 1\n" + b"? *k\n: 1\n" * 500,
            "application/yaml",
            "Warn",
        ),
    ):
        assert len(told) in (1, 100)
        assert all(len(text) < 1_100 for text in told)


def test_long_texts_count_for_what_aliases_grow_to() -> None:
    body = b"a: &a " + b"x" * 1_000_000 + b"\nb: [" + b"*a," * 1_000 + b"]"
    with pytest.raises(ApiError, match="excessive aliasing"):
        decode_object(body, "application/yaml")
    assert decode_object(b"a: " + b"x" * 3_000_000, "application/yaml")


def test_what_is_told_of_unknown_fields_is_bounded() -> None:
    """Each costs a look for what was meant: 4,000 of them stopped the engine for seconds."""
    obj = {"metadata": {"name": "a", "x" * 1_000_000: 1}, **{f"dat{n}": 1 for n in range(20_000)}}
    found = decode_strictness(obj, CONFIGMAP)
    assert len(found.warnings()) == 100
    assert all(len(text) < 1_200 for text in found.warnings())
    assert without_unknown(obj, CONFIGMAP) == {"metadata": {"name": "a"}}
