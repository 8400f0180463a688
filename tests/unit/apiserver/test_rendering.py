import msgspec
import pytest

from nodrop.apiserver.discovery import wanted_aggregate
from nodrop.apiserver.rendering import TableRendering, accepted_form
from nodrop.clock import SystemClock
from nodrop.model.errors import ApiError
from nodrop.model.kinds import NAMESPACE

KUBECTL_GET = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
KUBECTL_DISCOVERY = (
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "plain"),
        ("*/*", "plain"),
        ("application/json", "plain"),
        ("application/vnd.kubernetes.protobuf,application/json", "plain"),
        (KUBECTL_GET, "table"),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            "metadata",
        ),
    ],
)
def test_the_first_form_that_we_have_is_chosen(accept: str, form: str) -> None:
    assert accepted_form(accept) == form


def test_protobuf_alone_is_not_acceptable() -> None:
    with pytest.raises(ApiError) as failure:
        accepted_form("application/vnd.kubernetes.protobuf")
    assert failure.value.code == 406


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (KUBECTL_DISCOVERY, "v2beta1"),
        (KUBECTL_DISCOVERY.replace("v2beta1", "v2"), "v2"),
        (KUBECTL_DISCOVERY.replace("v2beta1", "v3"), None),
        ("application/json", None),
        ("", None),
    ],
)
def test_aggregated_discovery_is_given_to_who_asks(accept: str, version: str | None) -> None:
    assert wanted_aggregate(accept) == version


def test_only_the_first_event_of_a_table_watch_carries_the_columns() -> None:
    rendering = TableRendering(NAMESPACE, "Metadata", SystemClock())
    namespace = {"metadata": {"name": "a", "resourceVersion": "4"}}
    lines = [rendering.event("ADDED", namespace), rendering.event("MODIFIED", namespace)]
    tables = [msgspec.json.decode(line)["object"] for line in lines]
    assert [len(shown["columnDefinitions"]) for shown in tables] == [3, 0]
    assert [len(shown["rows"]) for shown in tables] == [1, 1]
