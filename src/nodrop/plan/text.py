"""A plan as lines of text with a chart; pure. Colours are marks that the caller may turn on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nodrop.plan.report import DeploymentPlan, PlanReport
from nodrop.plan.rows import Bar, Row
from nodrop.plan.summary import Moment, Stuck, Summary, Wave

#: One character a phase, readable without colour.
_MARKS = {"starting": "·", "ready": "▒", "available": "█", "ending": "░"}
_STYLES = {"starting": "33", "ready": "36", "available": "32", "ending": "35"}
_LEGEND = "· starting   ▒ ready, not available yet   █ available   ░ ending"
_WORDS = {
    "starts": "starts", "ready": "ready", "traffic": "gets traffic", "available": "available",
    "leaves": "out of traffic", "signalled": "drained, SIGTERM", "gone": "gone",
}  # fmt: skip
_MOST_WAVES = 12


@dataclass(frozen=True, slots=True)
class Paper:
    """What is printed on: so many columns, in colour or not."""

    columns: int = 100
    colour: bool = False

    def styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


def render_text(report: PlanReport, paper: Paper) -> str:
    """The whole plan."""
    parts = [_deployment(one, paper) for one in report.deployments]
    parts.append(["assumed:", *(f"  {line}" for line in report.assumed)])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def seconds(value: float | None) -> str:
    """``5.2 s``, ``12 min 30 s``; tenths below ten minutes only."""
    if value is None:
        return "never"
    if value < 600:
        return f"{value:.1f} s".replace(".0 s", " s")
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    told = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    return " ".join([*told, f"{rest} s"] if rest else told)


# Private


def _deployment(plan: DeploymentPlan, paper: Paper) -> list[str]:
    lines = [paper.styled(f"deployment/{plan.name}: {plan.headline}", "1")]
    lines += [f"  {change}" for change in plan.changes]
    if not plan.summary.waves:
        return lines
    lines += ["", *_numbers(plan, plan.summary), ""]
    lines += _chart(plan.rows, plan.ended_s, paper)
    lines += ["", *_waves(plan.summary.waves)]
    if plan.stuck is not None:
        lines += ["", *_stuck(plan.name, plan.stuck, plan.summary)]
    return lines


def _numbers(plan: DeploymentPlan, summary: Summary) -> Iterator[str]:
    yield f"  rolled out after       {seconds(summary.complete_s)}" + _gone(summary)
    at = f" at {seconds(summary.least_at_s)}" if summary.least < summary.desired else ""
    promise = f"promised: {summary.floor}"
    yield f"  least available        {summary.least} of {summary.desired}{at} ({promise})"
    reduced = seconds(summary.reduced_s) if summary.reduced_s else "never"
    yield f"  at reduced capacity    {reduced}" + (" at a stretch" if summary.reduced_s else "")
    ending = ""
    if summary.most_processes > summary.most:
        ending = f", {summary.most_processes} with those that are ending"
    yield f"  most pods at once      {summary.most} (allowed: {summary.ceiling}){ending}"
    yield from (f"  {line}" for line in plan.notes)


def _gone(summary: Summary) -> str:
    if summary.duration_s is None or summary.complete_s is None:
        return ""
    return f"; the last old pod is gone after {seconds(summary.duration_s)}"


def _stuck(name: str, stuck: Stuck, summary: Summary) -> Iterator[str]:
    yield "  if no new pod ever becomes ready:"
    if stuck.unnoticed:
        yield (
            "    it is not noticed: a container without a readinessProbe counts as ready while it "
            "runs, so all old pods are replaced; add a readinessProbe, or minReadySeconds"
        )
        return
    told = "nothing tells within 30 min: there is no deadline, or restarts count as progress"
    if stuck.deadline_s is not None:
        told = f"told after {seconds(stuck.deadline_s)} (progressDeadlineSeconds)"
    yield (
        f"    it stands still at {stuck.old} old and {stuck.new} new pods, {stuck.available} of "
        f"{summary.desired} available; {told}"
    )
    serving = "the old pods go on serving" if stuck.old else "nothing serves then"
    yield f"    {serving}; undo with: nodrop rollout undo {name}"


def _waves(waves: Sequence[Wave]) -> Iterator[str]:
    for wave in _some(waves):
        if wave is None:
            yield f"  … {len(waves) - _MOST_WAVES} more waves like these"
            continue
        yield f"  wave {wave.number}"
        yield from (f"    {_moment(moment)}" for moment in wave.moments)


def _some(waves: Sequence[Wave]) -> Iterable[Wave | None]:
    if len(waves) <= _MOST_WAVES:
        return waves
    return [*waves[: _MOST_WAVES - 1], None, waves[-1]]


def _moment(moment: Moment) -> str:
    span = f"{moment.at_s:8.2f} s"
    count, word = len(moment.pods), _WORDS[moment.what]
    until = f" (until {moment.until_s:.2f} s)" if moment.until_s - moment.at_s >= 0.1 else ""
    who = moment.pods[0] if count == 1 else f"{count} {moment.version} pods"
    kind = f" ({moment.version})" if count == 1 else ""
    return f"{span}  {who}{kind}: {word}{until}"


def _chart(rows: Sequence[Row], ended_s: float, paper: Paper) -> Iterator[str]:
    labels = [f"{row.version} {row.name}" for row in rows]
    wide = min(max(map(len, labels), default=0), max(20, paper.columns // 3))
    room = max(20, paper.columns - wide - 4)
    per_s = room / ended_s if ended_s else 0.0
    for row, label in zip(rows, labels, strict=True):
        shown = label if len(label) <= wide else label[: wide - 1] + "…"
        yield f"  {shown:<{wide}} {_line(row.bars, per_s, room, paper)}".rstrip()
    yield f"  {'':<{wide}} {_scale(ended_s, room)}".rstrip()
    yield f"  {_LEGEND}"


def _line(bars: Sequence[Bar], per_s: float, room: int, paper: Paper) -> str:
    cells: list[str] = [""] * room
    for bar in bars:
        first = min(int(bar.from_s * per_s), room - 1)
        last = max(first + 1, min(round(bar.to_s * per_s), room))
        cells[first:last] = [bar.phase] * (last - first)
    return "".join(
        paper.styled(_MARKS.get(c, " "), _STYLES.get(c, "")) if c else " " for c in cells
    )


def _scale(ended_s: float, room: int) -> str:
    right = seconds(ended_s)
    return "0" + " " * max(1, room - 1 - len(right)) + right
