"""Which container is meant where a request names none: upstream's validateContainer."""

from __future__ import annotations

import pytest

from nodrop.apiserver.containers import container_name
from nodrop.model.errors import ApiError


def pod(*main: str, init: tuple[str, ...] = ()) -> dict[str, object]:
    spec = {
        "containers": [{"name": name} for name in main],
        "initContainers": [{"name": name} for name in init],
    }
    return {"metadata": {"name": "web"}, "spec": spec}


def test_the_only_container_is_meant_whatever_init_containers_there_are() -> None:
    assert container_name(pod("app", init=("migrate",)), "") == "app"
    assert container_name(pod("app", init=("migrate",)), "migrate") == "migrate"


def test_of_several_one_must_be_named() -> None:
    listed = r"choose one of: \[a b\] or one of the init containers: \[m\]"
    with pytest.raises(ApiError, match=listed):
        container_name(pod("a", "b", init=("m",)), "")
