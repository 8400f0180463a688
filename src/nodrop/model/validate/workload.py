"""Rules for Deployments and ReplicaSets: selector, template, strategy, numbers."""

from __future__ import annotations

from nodrop.model.errors import Cause
from nodrop.model.intstr import is_percent
from nodrop.model.meta import Obj, selector_from_object
from nodrop.model.validate.causes import (
    NON_NEGATIVE,
    forbidden,
    immutable,
    invalid,
    non_negative,
    required,
    unsupported,
)
from nodrop.model.validate.drain import drain_causes
from nodrop.model.validate.metadata import (
    validate_annotations,
    validate_labels,
    validate_selector,
)
from nodrop.model.validate.pod import validate_pod_spec

_STRATEGIES = ("Recreate", "RollingUpdate")
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)


def validate_deployment(obj: Obj) -> list[Cause]:
    """Causes for a Deployment's spec (semantics 1.3)."""
    spec = obj.get("spec") or {}
    causes = non_negative("spec.replicas", spec.get("replicas"))
    causes += _selector_and_template(spec)
    causes += _strategy(spec.get("strategy") or {})
    causes += non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    causes += non_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline_s = spec.get("progressDeadlineSeconds")
    causes += non_negative("spec.progressDeadlineSeconds", deadline_s)
    if deadline_s is not None and deadline_s <= spec.get("minReadySeconds", 0):
        text = "must be greater than minReadySeconds"
        causes.append(invalid("spec.progressDeadlineSeconds", deadline_s, text))
    return causes


def validate_replicaset(obj: Obj) -> list[Cause]:
    """Causes for a ReplicaSet's spec."""
    spec = obj.get("spec") or {}
    causes = non_negative("spec.replicas", spec.get("replicas"))
    causes += non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    return causes + _selector_and_template(spec)


def validate_selector_update(new: Obj, old: Obj) -> list[Cause]:
    """The selector of a Deployment or ReplicaSet says which pods are its own, for ever."""
    selector = (new.get("spec") or {}).get("selector")
    return immutable("spec.selector", selector, (old.get("spec") or {}).get("selector"))


def _selector_and_template(spec: Obj) -> list[Cause]:
    selector, template = spec.get("selector"), spec.get("template")
    causes = []
    if selector is None:
        causes.append(required("spec.selector"))
    else:
        wrong = validate_selector(selector, "spec.selector")
        causes += wrong
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            text = "empty selector is invalid for deployment"
            causes.append(invalid("spec.selector", selector, text))
        elif wrong:
            return causes
    if template is None:
        return [*causes, required("spec.template")]
    return causes + _template(template, selector)


def _template(template: Obj, selector: Obj | None) -> list[Cause]:
    meta = template.get("metadata") or {}
    labels = meta.get("labels") or {}
    causes = []
    if selector is None or not selector_from_object(selector).matches(labels):
        text = "`selector` does not match template `labels`"
        causes.append(invalid("spec.template.metadata.labels", labels, text))
    causes += validate_labels(labels, "spec.template.metadata.labels")
    causes += validate_annotations(meta.get("annotations"), "spec.template.metadata.annotations")
    pod_spec = template.get("spec") or {}
    causes += validate_pod_spec(pod_spec, "spec.template.spec")
    causes += drain_causes(meta, pod_spec, "spec.template.metadata")
    policy = pod_spec.get("restartPolicy")
    if policy in ("OnFailure", "Never"):
        causes.append(unsupported("spec.template.spec.restartPolicy", policy, ("Always",)))
    if pod_spec.get("activeDeadlineSeconds") is not None:
        at = "spec.template.spec.activeDeadlineSeconds"
        causes.append(forbidden(at, "activeDeadlineSeconds in ReplicaSet is not Supported"))
    return causes


def _strategy(strategy: Obj) -> list[Cause]:
    rolling = strategy.get("rollingUpdate")
    match strategy.get("type"):
        case "RollingUpdate":
            return _rolling(rolling or {}, "spec.strategy.rollingUpdate")
        case "Recreate":
            if rolling is None:
                return []
            text = "may not be specified when strategy `type` is 'Recreate'"
            return [forbidden("spec.strategy.rollingUpdate", text)]
        case _:
            return [unsupported("spec.strategy", strategy, _STRATEGIES)]


def _rolling(rolling: Obj, path: str) -> list[Cause]:
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    at = f"{path}.maxUnavailable"
    causes = count_or_percent(unavailable, at)
    causes += count_or_percent(surge, f"{path}.maxSurge")
    if _raw_number(unavailable) == 0 and _raw_number(surge) == 0:
        causes.append(invalid(at, unavailable, "may not be 0 when `maxSurge` is 0"))
    return causes + at_most_all(unavailable, at)


def count_or_percent(value: int | str, path: str) -> list[Cause]:
    """A cause if ``value`` is neither a number from 0 nor a percentage."""
    if isinstance(value, str):
        return [] if is_percent(value) else [invalid(path, value, _PERCENT_TEXT)]
    return [invalid(path, value, NON_NEGATIVE)] if value < 0 else []


def at_most_all(value: int | str, path: str) -> list[Cause]:
    """A cause if ``value`` is a percentage above 100."""
    if is_percent(value) and _raw_number(value) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def _raw_number(value: int | str) -> int:
    """The number as written, whatever it comes to: ``"1%"`` is 1. -1 for what is no number."""
    if isinstance(value, int):
        return value
    return int(value[:-1]) if is_percent(value) else -1
