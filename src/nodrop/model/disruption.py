"""What a PodDisruptionBudget selects and allows, for its controller and for evictions; pure."""

from __future__ import annotations

from nodrop.model.conditions import get_condition, is_true, refresh_condition
from nodrop.model.meta import Obj, labels_of, selector_from_object

#: The status's counters, which upstream writes even when they are 0.
COUNTERS = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")


def selects(budget: Obj, pod: Obj) -> bool:
    """Whether ``pod``, of the budget's namespace, counts. ``{}`` selects all, no selector none."""
    selector = (budget.get("spec") or {}).get("selector")
    return selector is not None and selector_from_object(selector).matches(labels_of(pod))


def is_healthy(pod: Obj) -> bool:
    """Ready, whatever its phase: what budgets count."""
    return is_true((pod.get("status") or {}).get("conditions"), "Ready")


def with_allowance(status: Obj, now: str) -> Obj:
    """The status with the condition DisruptionAllowed as its counters say."""
    allowed = status.get("disruptionsAllowed", 0) > 0
    reason = "SufficientPods" if allowed else "InsufficientPods"
    return with_condition(status, allowed=allowed, reason=reason, message="", now=now)


def with_condition(status: Obj, *, allowed: bool, reason: str, message: str, now: str) -> Obj:
    """The status with DisruptionAllowed; its time moves only when True and False change places."""
    wanted: Obj = {
        "type": "DisruptionAllowed",
        "status": "True" if allowed else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": status.get("observedGeneration", 0),
    }
    conditions = status.get("conditions")
    present = get_condition(conditions, "DisruptionAllowed") or {}
    if all(present.get(field) == value for field, value in wanted.items()):
        return status
    written = refresh_condition(conditions, wanted, now, with_update_time=False)
    return {**status, "conditions": written}
