import pytest

from nodrop.client.selectors import (
    format_field_selector,
    format_label_selector,
    parse_field_selector,
    parse_label_selector,
)
from nodrop.model.errors import ApiError
from nodrop.model.meta import Requirement

PARSED = {
    "": (),
    "app=web": (Requirement("app", "In", ("web",)),),
    "app==web": (Requirement("app", "In", ("web",)),),
    "app!=web": (Requirement("app", "NotIn", ("web",)),),
    "app=": (Requirement("app", "In", ("",)),),
    "app in (a, b)": (Requirement("app", "In", ("a", "b")),),
    "app notin (a)": (Requirement("app", "NotIn", ("a",)),),
    "app": (Requirement("app", "Exists"),),
    "!app": (Requirement("app", "DoesNotExist"),),
    "a.b/c=d,e in (f,g),!h": (
        Requirement("a.b/c", "In", ("d",)),
        Requirement("e", "In", ("f", "g")),
        Requirement("h", "DoesNotExist"),
    ),
    "in": (Requirement("in", "Exists"),),
}


@pytest.mark.parametrize("text", PARSED)
def test_label_selectors_are_read(text: str) -> None:
    assert parse_label_selector(text).requirements == PARSED[text]


@pytest.mark.parametrize("text", [",", "a=b,", "a b", "=x", "a in b", "a in (b", "a=b=c", "-a"])
def test_a_broken_label_selector_is_a_bad_request(text: str) -> None:
    with pytest.raises(ApiError) as failure:
        parse_label_selector(text)
    assert failure.value.code == 400


@pytest.mark.parametrize("text", PARSED)
def test_writing_a_label_selector_is_the_inverse_of_reading_it(text: str) -> None:
    selector = parse_label_selector(text)
    assert parse_label_selector(format_label_selector(selector)) == selector


def test_field_selectors_are_pairs() -> None:
    text = "metadata.name=web,status.phase==Running,spec.nodeName=,type!=Normal"
    fields = parse_field_selector(text)
    assert fields.equal == (
        ("metadata.name", "web"),
        ("status.phase", "Running"),
        ("spec.nodeName", ""),
    )
    assert fields.unequal == (("type", "Normal"),)
    assert parse_field_selector(format_field_selector(fields)) == fields


@pytest.mark.parametrize("text", ["metadata.name", "a!b", "=x", "a=b=c", ","])
def test_other_field_selectors_are_refused(text: str) -> None:
    with pytest.raises(ApiError) as failure:
        parse_field_selector(text)
    assert failure.value.code == 400
