"""A plan as one value: what text, JSON and SVG are made of; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nodrop.model.meta import Obj
from nodrop.plan.assumptions import Assumptions
from nodrop.plan.changes import FieldChange, diff_objects
from nodrop.plan.rows import Row, rows_of
from nodrop.plan.spans import Course
from nodrop.plan.summary import Stuck, Summary, stuck_of, summarize

#: More rows than this are drawn together.
MOST_ROWS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentPlan:
    """One Deployment. ``stuck`` is None where it wasn't asked for or nothing would be new."""

    name: str
    headline: str
    changes: tuple[FieldChange, ...]
    notes: tuple[str, ...]
    summary: Summary
    rows: tuple[Row, ...]
    stuck: Stuck | None
    ended_s: float
    course: Course


@dataclass(frozen=True, slots=True)
class PlanReport:
    """All Deployments of the manifests, and what the plan takes for granted."""

    deployments: tuple[DeploymentPlan, ...]
    assumed: tuple[str, ...]


def report_of(
    courses: Sequence[Course], stuck: Sequence[Course], assumptions: Assumptions
) -> PlanReport:
    """``stuck`` are the courses of the same change whose new pods never are ready, or none."""
    by_key = {course.key: course for course in stuck}
    plans = tuple(_plan(course, by_key.get(course.key), assumptions) for course in courses)
    return PlanReport(plans, tuple(_assumed(courses, assumptions)))


def as_json(report: PlanReport) -> dict[str, Any]:
    """The plan as plain data."""
    return {
        "deployments": [_deployment_json(one) for one in report.deployments],
        "assumed": list(report.assumed),
    }


# Private


def _plan(course: Course, stuck: Course | None, assumptions: Assumptions) -> DeploymentPlan:
    summary, new = summarize(course), [p for p in course.pods if p.version == "new"]
    rolls = course.old is not None and bool(new)
    return DeploymentPlan(
        name=course.key.name,
        headline=_headline(course, rolls=rolls),
        changes=diff_objects(course.old, course.new),
        notes=tuple(_notes(course, summary, assumptions)),
        summary=summary,
        rows=rows_of(course, most=MOST_ROWS) if summary.waves else (),
        stuck=stuck_of(stuck) if stuck is not None and new else None,
        ended_s=course.ended_s,
        course=course,
    )


def _headline(course: Course, *, rolls: bool) -> str:
    size = course.new["spec"]["replicas"]
    if course.old is None:
        return f"new, {size} pods"
    if rolls:
        kind = course.new["spec"]["strategy"]["type"]
        return f"{size} pods are replaced ({_strategy(course.new, kind)})"
    before = course.old["spec"]["replicas"]
    if before != size:
        return f"scaled from {before} to {size} pods"
    return "no pod is replaced" if diff_objects(course.old, course.new) else "nothing changes"


def _strategy(deployment: Obj, kind: str) -> str:
    rolling = deployment["spec"]["strategy"].get("rollingUpdate")
    if not rolling:
        return kind
    return f"maxSurge {rolling['maxSurge']}, maxUnavailable {rolling['maxUnavailable']}"


def _notes(course: Course, summary: Summary, assumptions: Assumptions) -> list[str]:
    notes = []
    if course.new["spec"].get("paused"):
        notes.append("paused: nothing rolls before it is resumed")
    rate = assumptions.requests_per_s
    if rate > 0 and summary.desired and 0 < summary.least < summary.desired:
        notes.append(
            f"load per pod           up to {rate / summary.least:.3g} requests/s instead of "
            f"{rate / summary.desired:.3g}"
        )
    held = [p for p in course.pods if p.routed_s and p.ready_s and p.routed_s - p.ready_s > 0.5]
    if held:
        notes.append(
            f"no traffic at first    new pods have no readinessProbe and get none for "
            f"minReadySeconds = {course.min_ready_s} s (Kubernetes itself would send it at once)"
        )
    return notes


def _assumed(courses: Sequence[Course], assumptions: Assumptions) -> list[str]:
    lines = [
        f"{course.key.name} serves {assumptions.startup_of(course.key)} after its start"
        for course in courses
    ]
    if assumptions.drain_s:
        lines.append(f"a pod's last requests take {assumptions.drain_s:g} s")
    else:
        lines.append("no requests")
    lines.append(f"a container ends {assumptions.term_s:g} s after SIGTERM")
    lines.append("what runs now is rolled out and settled, and nothing fails")
    return lines


def _deployment_json(plan: DeploymentPlan) -> dict[str, Any]:
    course = plan.course
    return {
        "namespace": course.key.namespace,
        "name": plan.name,
        "headline": plan.headline,
        "changes": [{"path": c.path, "old": c.old, "new": c.new} for c in plan.changes],
        "summary": {**asdict(plan.summary), "waves": _waves_json(plan.summary)},
        "ifNeverReady": None if plan.stuck is None else asdict(plan.stuck),
        "notes": list(plan.notes),
        "pods": [asdict(pod) for pod in course.pods],
        "decisions": [{"at_s": at_s, "because": why} for at_s, why in course.because],
    }


def _waves_json(summary: Summary) -> list[dict[str, Any]]:
    return [asdict(wave) for wave in summary.waves]
