"""Which pods end first, one rule a row (semantics section 2)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from nodrop.controllers.replicaset.ranking import victims
from nodrop.model.meta import Obj, format_time

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)


def pod(name: str, **facts: Any) -> Obj:
    ready_for_s = facts.get("ready_for_s", 100)
    conditions = []
    if ready_for_s is not None:
        since = format_time(NOW - timedelta(seconds=ready_for_s))
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    born = format_time(NOW - timedelta(seconds=facts.get("age_s", 200)))
    annotations = {"controller.kubernetes.io/pod-deletion-cost": str(facts.get("cost", 0))}
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": born,
            "annotations": annotations,
        },
        "spec": {"nodeName": facts.get("node", "localhost")},
        "status": {
            "phase": facts.get("phase", "Running"),
            "conditions": conditions,
            "containerStatuses": [{"restartCount": facts.get("restarts", 0)}],
        },
    }


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (pod("z", node=""), pod("a", phase="Pending")),  # unscheduled before all
        (pod("z", phase="Pending"), pod("a", phase="Unknown")),
        (pod("z", phase="Unknown"), pod("a")),
        (pod("z", ready_for_s=None), pod("a", cost=-5)),  # not ready before cheap
        (pod("z", cost=-1), pod("a", ready_for_s=1)),  # cheap before young
        (pod("z", ready_for_s=10), pod("a", ready_for_s=1000, restarts=9)),  # shorter ready
        (pod("a", ready_for_s=101), pod("z", ready_for_s=100)),  # one bucket: by uid
        (pod("z", restarts=3), pod("a")),
        (pod("z", age_s=110), pod("a", age_s=9999)),  # younger
    ],
)
def test_the_first_goes_before_the_other(first: Obj, then: Obj) -> None:
    assert victims([then, first], 1, NOW) == (first,)
    assert victims([first, then], 1, NOW) == (first,)


def test_what_is_not_available_yet_goes_before_what_is() -> None:
    """S5: in one bucket of ready times the uid would take the available pod."""
    available, young = pod("a", ready_for_s=110, cost=-9), pod("z", ready_for_s=100)
    assert victims([available, young], 1, NOW, min_ready_s=105) == (young,)
    assert victims([available, young], 1, NOW) == (available,)


def test_if_all_go_the_order_does_not_matter() -> None:
    pods = (pod("b"), pod("a", ready_for_s=None))
    assert victims(pods, 2, NOW) == pods
