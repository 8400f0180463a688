"""ND601 and ND602: what a PodDisruptionBudget allows. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from nodrop.check.bundle import Workload, is_count, name_of, namespace_of
from nodrop.check.finding import Hit
from nodrop.check.rules.case import Case, counted
from nodrop.check.source import Document
from nodrop.check.views import dig, mapping, mappings, string_map, text, words
from nodrop.model.intstr import resolve
from nodrop.model.meta import Requirement, Selector

_SCALED = {"Deployment", "StatefulSet", "ReplicaSet"}


def budget_blocks_drain(case: Case) -> Iterator[Hit]:
    for budget, workload, size in _budgets(case):
        field, allowed = allowed_of(budget, size)
        if allowed is None or allowed > 0 or size == 0 or case.bundle.floats(workload):
            continue
        yield Hit(
            document=budget,
            path=("spec", field),
            message=f"{field} {dig(budget.obj, 'spec', field)} of "
            f"{counted(size, 'replica')} of {workload.kind} {workload.name} lets no pod be "
            "evicted: every drain of a node waits for ever, until somebody deletes the pods by "
            "force",
            mend=_room(size),
        )


def budget_protects_nothing(case: Case) -> Iterator[Hit]:
    for budget in case.bundle.of_kind("PodDisruptionBudget"):
        near = [one for one in case.bundle.workloads if one.namespace == namespace_of(budget.obj)]
        if near and not any(protects(budget, one) for one in near):
            yield Hit(
                document=budget,
                path=("spec", "selector"),
                message=f"the selector of PodDisruptionBudget {name_of(budget.obj)} matches no pod "
                "here: it protects nothing",
                mend="let it match the labels of the pods",
            )
    for budget, workload, size in _budgets(case):
        field, allowed = allowed_of(budget, size)
        if allowed is not None and size > 0 and allowed >= size:
            yield Hit(
                document=budget,
                path=("spec", field),
                message=f"{field} {dig(budget.obj, 'spec', field)} lets {allowed} of "
                f"{counted(size, 'replica')} of {workload.kind} {workload.name} be evicted at "
                "once: it protects nothing",
                mend=_room(size),
            )


RULES = {"ND601": budget_blocks_drain, "ND602": budget_protects_nothing}


def allowed_of(budget: Document, size: int) -> tuple[str, int | None]:
    """(field, how many of ``size`` pods may be evicted); percentages round up for both fields.

    minAvailable 50 % of 3: 2 must stay, so 1; maxUnavailable 50 % of 3: 2.
    """
    spec = mapping(budget.obj.get("spec"))
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if is_count(least):
        return "minAvailable", max(0, size - resolve(least, size, "up"))
    if is_count(most):
        return "maxUnavailable", min(size, resolve(most, size, "up"))
    return "selector", None


def protects(budget: Document, workload: Workload) -> bool:
    """Whether the budget's selector matches the workload's pods; an empty one matches all."""
    found = dig(budget.obj, "spec", "selector")
    if not isinstance(found, dict) or namespace_of(budget.obj) != workload.namespace:
        return False
    return _selector(found).matches(workload.labels)


# Private


def _selector(found: dict[str, object]) -> Selector:
    labels = string_map(found.get("matchLabels"))
    clauses = [Requirement(key, "In", (value,)) for key, value in labels.items()]
    for _, one in mappings(found.get("matchExpressions")):
        operator = one.get("operator")
        if operator in ("In", "NotIn", "Exists", "DoesNotExist"):
            clauses.append(Requirement(text(one.get("key")), operator, words(one.get("values"))))
    return Selector(tuple(clauses))


def _budgets(case: Case) -> Iterator[tuple[Document, Workload, int]]:
    """(budget, what it protects, its least size)."""
    for budget in case.bundle.of_kind("PodDisruptionBudget"):
        for workload in case.bundle.workloads:
            if workload.kind in _SCALED and protects(budget, workload):
                yield budget, workload, case.bundle.size_of(workload)


def _room(size: int) -> str:
    if size == 1:
        return "run 2 replicas or more and set maxUnavailable: 1; one replica can't survive a drain"
    return "set maxUnavailable: 1"
