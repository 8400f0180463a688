"""Whose lines ``nodrop logs`` prints where no container is named: kubectl's choice."""

from __future__ import annotations

import pytest

from nodrop.cli.logs import default_container


@pytest.mark.parametrize(("named", "expected"), [(None, "a"), ("b", "b"), ("gone", "a")])
def test_the_first_container_or_the_annotated_one(named: str | None, expected: str) -> None:
    annotations = {"kubectl.kubernetes.io/default-container": named} if named else {}
    pod = {
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
    }
    assert default_container(pod) == expected
