"""Courses for tests, made by hand."""

from __future__ import annotations

from typing import Any

from nodrop.model.kinds import DEPLOYMENT
from nodrop.model.meta import Obj, ObjectKey
from nodrop.plan.spans import Course, Fate, PodSpan


def deployment(replicas: int = 2, **spec: Any) -> Obj:
    rolling = {"maxSurge": spec.pop("surge", 1), "maxUnavailable": spec.pop("unavailable", 0)}
    strategy = spec.pop("strategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
    metadata = {"name": "web", "namespace": "default", "labels": {"app": "web"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": replicas, "strategy": strategy, **spec},
    }


def old(name: str, deleted_s: float | None = None, gone_s: float | None = None) -> PodSpan:
    return PodSpan(
        name=name, version="old", created_s=0, started_s=0, ready=((0, gone_s),),
        deleted_s=deleted_s, signalled_s=gone_s, gone_s=gone_s,
    )  # fmt: skip


def new(name: str, created_s: float, ready_s: float | None) -> PodSpan:
    return PodSpan(
        name=name, version="new", created_s=created_s, started_s=created_s,
        ready=() if ready_s is None else ((ready_s, None),), routed_s=ready_s,
    )  # fmt: skip


def course(*pods: PodSpan, before: Obj | None = None, **spec: Any) -> Course:
    """Two old pods that are replaced one by one, unless other pods are given."""
    after = deployment(**spec)
    if not pods:
        pods = (
            old("a", 5.1, 6.0), old("b", 10.1, 11.0), new("c", 0.1, 5.0), new("d", 5.2, 10.0),
        )  # fmt: skip
    ended_s = max(p.gone_s or p.ready_s or p.created_s for p in pods)
    return Course(
        key=ObjectKey(DEPLOYMENT, "default", "web"),
        old=deployment(**spec) if before is None else before,
        new=after,
        pods=pods,
        fate=Fate(complete_s=ended_s - 0.5, settled_s=ended_s),
        ended_s=ended_s,
    )
