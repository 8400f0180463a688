"""Rules for Roles, bindings and Leases."""

from __future__ import annotations

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.rbac import GROUP
from nodrop.model.validate.causes import invalid, one_of, required

_SUBJECTS = ("Group", "ServiceAccount", "User")


def validate_role(obj: Obj) -> list[Cause]:
    """Causes for a Role's or ClusterRole's rules."""
    namespaced = obj["kind"] == "Role"
    return [
        cause
        for index, rule in enumerate(obj.get("rules") or ())
        for cause in _rule(rule, f"rules[{index}]", namespaced=namespaced)
    ]


def validate_binding(obj: Obj) -> list[Cause]:
    """Causes for the roleRef and the subjects of a RoleBinding or ClusterRoleBinding."""
    namespaced = obj["kind"] == "RoleBinding"
    ref = obj.get("roleRef") or {}
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    causes = one_of("roleRef.apiGroup", ref.get("apiGroup"), (GROUP,))
    causes += one_of("roleRef.kind", ref.get("kind"), kinds)
    if not ref.get("name"):
        causes.append(required("roleRef.name"))
    for index, subject in enumerate(obj.get("subjects") or ()):
        causes += _subject(subject, f"subjects[{index}]")
    return causes


def validate_binding_update(new: Obj, old: Obj) -> list[Cause]:
    """A binding's role can't be changed: delete it and make another."""
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [invalid("roleRef", new.get("roleRef"), "cannot change roleRef")]


def validate_lease(obj: Obj) -> list[Cause]:
    """Causes for a Lease's figures."""
    spec = obj.get("spec") or {}
    causes = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        causes.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    transitions = spec.get("leaseTransitions")
    if transitions is not None and transitions < 0:
        text = "must be greater than or equal to 0"
        causes.append(invalid("spec.leaseTransitions", transitions, text))
    return causes


# Private


def _rule(rule: Obj, path: str, *, namespaced: bool) -> list[Cause]:
    causes = []
    if not rule.get("verbs"):
        causes.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    if rule.get("nonResourceURLs"):
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            causes.append(invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], text))
        if rule.get("apiGroups") or rule.get("resources"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            causes.append(invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], text))
        return causes
    if not rule.get("apiGroups"):
        text = "resource rules must supply at least one api group"
        causes.append(required(f"{path}.apiGroups", text))
    if not rule.get("resources"):
        text = "resource rules must supply at least one resource"
        causes.append(required(f"{path}.resources", text))
    return causes


def _subject(subject: Obj, path: str) -> list[Cause]:
    kind = subject.get("kind")
    causes = one_of(f"{path}.kind", kind, _SUBJECTS)
    if not subject.get("name"):
        causes.append(required(f"{path}.name"))
    if kind == "ServiceAccount" and not subject.get("namespace"):
        causes.append(required(f"{path}.namespace"))
    return causes
