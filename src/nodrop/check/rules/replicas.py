"""ND603 to ND606: sizes, autoscalers, nodes and images. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from nodrop.check.bundle import Workload, name_of, smallest_of
from nodrop.check.finding import Hit
from nodrop.check.rules.case import Case, counted
from nodrop.check.rules.disruption import allowed_of, protects
from nodrop.check.source import Document
from nodrop.check.views import dig, mapping, whole

_MUTABLE = frozenset({"latest"})


def autoscaler_floor(case: Case) -> Iterator[Hit]:
    for workload, scaler in _scaled(case):
        least = smallest_of(scaler)
        size = workload.replicas
        if not case.bundle.floats(workload) and least >= size:
            continue
        for message, mend in _at_floor(case, workload, least):
            yield Hit(
                document=scaler,
                path=("spec", "minReplicas"),
                message=f"at the autoscaler's minimum of {counted(least, 'replica')} {message}",
                mend=mend,
            )


def replicas_beside_autoscaler(case: Case) -> Iterator[Hit]:
    for workload, scaler in _scaled(case):
        if dig(workload.obj, "spec", "replicas") is None:
            continue
        most = whole(dig(scaler.obj, "spec", "maxReplicas"), 0)
        yield Hit(
            document=workload.document,
            path=("spec", "replicas"),
            message=f"replicas {workload.replicas} stands beside HorizontalPodAutoscaler "
            f"{name_of(scaler.obj)} ({smallest_of(scaler)} to {most}): every apply in a busy hour "
            f"throws it back to {workload.replicas} in the middle of the rollout",
            mend="remove spec.replicas, so that the autoscaler alone decides",
        )


def no_spread(case: Case) -> Iterator[Hit]:
    for workload in case.bundle.serving:
        size = case.bundle.size_of(workload)
        spec = workload.pod.spec
        apart = spec.get("topologySpreadConstraints") or dig(spec, "affinity", "podAntiAffinity")
        if workload.kind == "DaemonSet" or size < 2 or apart:
            continue
        yield Hit(
            document=workload.document,
            path=workload.pod.path,
            message=f"nothing keeps the {size} replicas apart: if one node holds them all, its "
            "drain or failure ends them all",
            mend="add topologySpreadConstraints over kubernetes.io/hostname",
        )


def mutable_image_tag(case: Case) -> Iterator[Hit]:
    for workload, container in case.serving_containers():
        image = container.image
        if not image or "@sha256:" in image:
            continue
        _, colon, tag = image.rpartition("/")[2].partition(":")
        if colon and tag not in _MUTABLE:
            continue
        what = f"tag {tag}" if colon else "no tag, which means latest,"
        yield Hit(
            document=workload.document,
            path=(*container.path, "image"),
            message=f"image {image} has {what} and names another program tomorrow: a pod that is "
            "rescheduled brings a version that was never rolled out, and an undo brings none back",
            mend="use a tag of its own for every version, or a digest",
        )


RULES = {
    "ND603": autoscaler_floor,
    "ND604": replicas_beside_autoscaler,
    "ND605": no_spread,
    "ND606": mutable_image_tag,
}

# Private


def _scaled(case: Case) -> Iterator[tuple[Workload, Document]]:
    for workload in case.bundle.workloads:
        if (scaler := case.bundle.autoscaler_of(workload)) and mapping(scaler.obj.get("spec")):
            yield workload, scaler


def _at_floor(case: Case, workload: Workload, least: int) -> Iterator[tuple[str, str]]:
    """(what goes wrong, mend) with so few replicas."""
    posts = workload.fenceposts(least)
    if workload.rolls and posts and posts.unavailable >= least:
        yield (
            f"maxUnavailable {workload.raw_unavailable} lets {posts.unavailable} be missing: a "
            "rollout at a quiet hour leaves nothing",
            "set maxUnavailable: 0 with maxSurge: 1, or a higher minReplicas",
        )
    for budget in case.bundle.of_kind("PodDisruptionBudget"):
        if protects(budget, workload) and allowed_of(budget, least)[1] == 0:
            field = allowed_of(budget, least)[0]
            yield (
                f"PodDisruptionBudget {name_of(budget.obj)} ({field} "
                f"{dig(budget.obj, 'spec', field)}) lets no pod be evicted: drains wait for ever "
                "at a quiet hour",
                "give the budget maxUnavailable: 1, or a higher minReplicas",
            )
