"""Rules for PodDisruptionBudgets."""

from __future__ import annotations

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.validate.causes import invalid, unsupported
from nodrop.model.validate.metadata import validate_selector
from nodrop.model.validate.workload import at_most_all, count_or_percent

_UNHEALTHY_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def validate_poddisruptionbudget(obj: Obj) -> list[Cause]:
    """Causes for a budget's spec: at most one of minAvailable and maxUnavailable."""
    spec = obj.get("spec") or {}
    causes = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        text = "minAvailable and maxUnavailable cannot be both set"
        causes.append(invalid("spec", spec, text))
    for field in ("minAvailable", "maxUnavailable"):
        if (limit := spec.get(field)) is not None:
            causes += count_or_percent(limit, f"spec.{field}")
            causes += at_most_all(limit, f"spec.{field}")
    causes += validate_selector(spec.get("selector") or {}, "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _UNHEALTHY_POLICIES:
        causes.append(unsupported("spec.unhealthyPodEvictionPolicy", policy, _UNHEALTHY_POLICIES))
    return causes
