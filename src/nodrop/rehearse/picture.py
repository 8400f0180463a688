"""The picture of a rehearsal as SVG: requests, latencies, and the pods' lives over time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from nodrop.rehearse.series import versions_of

_LEFT, _RIGHT = 46, 10
_RATE_HEIGHT, _LATENCY_HEIGHT, _ROW = 120, 70, 20
_GAP, _TOP = 30, 34
_COLOURS = 6
#: What a bar is made of: from which step to which, and its class.
_PARTS = (
    (("seen",), ("ready", "deleting", "exited", "gone"), "starting", "starting"),
    (("ready",), ("deleting", "exited", "gone"), "serving", "ready and serving"),
    (("deleting",), ("withdrawn", "signalled_at", "exited", "gone"), "draining", "told to end"),
    (("withdrawn",), ("signalled_at", "exited", "gone"), "hook", "drained; preStop"),
    (("signalled_at",), ("exited", "gone"), "ending", "after SIGTERM"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Seconds of the run to places of a picture ``width`` wide."""

    first_s: float
    last_s: float
    width: float

    def x(self, at_s: float) -> float:
        share = (at_s - self.first_s) / (self.last_s - self.first_s)
        return round(_LEFT + share * (self.width - _LEFT - _RIGHT), 1)


def render_picture(figures: Mapping[str, Any], *, width: int) -> str:
    """One SVG element, ``width`` pixels wide at its natural size."""
    pods = sorted(figures["pods"], key=lambda pod: pod["seen"])
    scale = _scale(figures, pods, width)
    rate_y = _TOP
    latency_y = rate_y + _RATE_HEIGHT + _GAP
    pods_y = latency_y + _LATENCY_HEIGHT + _GAP
    height = pods_y + len(pods) * _ROW + 26
    versions = _versions(figures, pods)
    parts = [
        _acts(figures["acts"], scale, height),
        _rates(figures, scale, rate_y, versions),
        _latencies(figures["series"], scale, latency_y),
        _bars(pods, figures["losses"], scale, pods_y, versions),
        _axis(scale, height - 22),
    ]
    return (
        f'<svg class="picture" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Pods, requests and losses over time">{"".join(parts)}</svg>'
    )


def colour_of(version: str, versions: Sequence[str]) -> str:
    """The class that gives a version its colour."""
    return f"v{versions.index(version) % _COLOURS}" if version in versions else "v9"


def _versions(figures: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys([*(pod["version"] for pod in pods), *versions_of(figures["series"])]))


def _scale(figures: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], width: int) -> Scale:
    first = min([0.0, *(pod["seen"] for pod in pods if pod["seen"] > -10)])
    return Scale(first, max(1.0, figures["seconds"]), width)


def _acts(acts: Sequence[Mapping[str, Any]], scale: Scale, height: int) -> str:
    """A band behind everything for each act, with its number."""
    parts = []
    for number, act in enumerate(acts, 1):
        left, right = scale.x(act["at_s"]), scale.x(act["at_s"] + (act["seconds"] or 0))
        parts.append(
            f'<rect class="act" x="{left}" y="14" width="{max(2, right - left):.1f}" '
            f'height="{height - 36}"><title>{escape(act["name"])}</title></rect>'
            f'<text class="actname" x="{left + 3}" y="11">{number}</text>'
        )
    return "".join(parts)


def _rates(figures: Mapping[str, Any], scale: Scale, y: int, versions: Sequence[str]) -> str:
    """Answers a second by version, stacked, with what was lost on top."""
    rows = figures["series"]
    most = max([1, *(sum(row["answered"].values()) + row["lost"] for row in rows)])
    parts = [_label("requests/s", y), _grid(scale, y, _RATE_HEIGHT, most, f"{most:g}")]
    step = scale.x(1) - scale.x(0)
    for row in rows:
        base = y + _RATE_HEIGHT
        pieces = [(colour_of(v, versions), n, v) for v, n in row["answered"].items()]
        for colour, number, told in [*pieces, ("lost", row["lost"], "lost")]:
            size = number / most * _RATE_HEIGHT
            if number:
                size = max(size, 2.0 if colour == "lost" else 0.0)
                base -= size
                parts.append(
                    f'<rect class="{colour}" x="{scale.x(row["s"])}" y="{base:.1f}" '
                    f'width="{max(0.5, step - 0.5):.1f}" height="{size:.1f}">'
                    f"<title>{row['s']} s: {number} {escape(told)}</title></rect>"
                )
    return "".join(parts)


def _latencies(rows: Sequence[Mapping[str, Any]], scale: Scale, y: int) -> str:
    """p50 and p99 as lines."""
    most = max([1.0, *(row["p99_ms"] for row in rows)])
    parts = [_label("latency, ms: p99, p50", y)]
    parts.append(_grid(scale, y, _LATENCY_HEIGHT, most, f"{most:.0f}"))
    for name in ("p99_ms", "p50_ms"):
        points = " ".join(
            f"{scale.x(row['s'] + 0.5)},{y + _LATENCY_HEIGHT * (1 - row[name] / most):.1f}"
            for row in rows
            if row["answered"] or row["lost"]
        )
        parts.append(f'<polyline class="{name[:3]}" points="{points}"/>')
    return "".join(parts)


def _bars(
    pods: Sequence[Mapping[str, Any]],
    losses: Sequence[Mapping[str, Any]],
    scale: Scale,
    y: int,
    versions: Sequence[str],
) -> str:
    """A bar a pod, with a mark for each request lost on it."""
    parts = [_label("pods", y - 4)]
    place = {}
    for number, pod in enumerate(pods):
        top = place[pod["name"]] = y + number * _ROW
        parts += _bar(pod, scale, top, colour_of(pod["version"], versions))
    parts += [_mark(loss, scale, place.get(loss["pod"], y - 12)) for loss in losses]
    return "".join(parts)


def _bar(pod: Mapping[str, Any], scale: Scale, top: int, colour: str) -> list[str]:
    parts = []
    for begins, ends, kind, told in _PARTS:
        start = next((pod[name] for name in begins if name in pod), None)
        if start is None:
            continue
        end = min([pod[name] for name in ends if name in pod] or [scale.last_s])
        if end <= start and kind != "ending":
            continue
        left = max(scale.x(start), _LEFT)
        size = max(scale.x(end) - left, 1.0)
        said = f"{pod['name']} ({pod['version']}): {told}, {start:.2f} to {end:.2f} s"
        parts.append(
            f'<rect class="pod {kind} {colour}" x="{left}" y="{top}" width="{size:.1f}" '
            f'height="{_ROW - 6}" rx="2" tabindex="0"><title>{escape(said)}</title></rect>'
        )
    parts.append(f'<text class="tick" x="2" y="{top + 11}">{escape(pod["version"][:7])}</text>')
    return parts


def _mark(loss: Mapping[str, Any], scale: Scale, top: int) -> str:
    said = (
        f"{loss['at_s']:.3f} s: {loss['method']} {loss['path']}: {loss['cause']}; {loss['detail']}"
    )
    phase = f" (pod {loss['pod']}, {loss['phase']})" if loss["pod"] else ""
    return (
        f'<rect class="mark" x="{scale.x(loss["at_s"]) - 0.75}" y="{top - 2}" width="1.5" '
        f'height="{_ROW - 2}" tabindex="0"><title>{escape(said + phase)}</title></rect>'
    )


def _grid(scale: Scale, y: int, height: int, most: float, told: str) -> str:
    right = scale.width - _RIGHT
    return (
        f'<path class="grid" d="M{_LEFT} {y}H{right}M{_LEFT} {y + height}H{right}"/>'
        f'<text class="tick" x="{_LEFT - 5}" y="{y + 4}" text-anchor="end">{told}</text>'
        f'<text class="tick" x="{_LEFT - 5}" y="{y + height + 4}" text-anchor="end">0</text>'
    )


def _label(text: str, y: int) -> str:
    return f'<text class="label" x="{_LEFT}" y="{y - 6}">{text}</text>'


def _axis(scale: Scale, y: int) -> str:
    steps = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
    room = max(1, int((scale.width - _LEFT) / 60))
    length = scale.last_s - max(0.0, scale.first_s)
    step = next((each for each in steps if length / each <= room), steps[-1])
    parts = [f'<path class="grid" d="M{_LEFT} {y}H{scale.width - _RIGHT}"/>']
    for at in range(0, int(scale.last_s) + 1, step):
        x = scale.x(at)
        parts.append(
            f'<path class="grid" d="M{x} {y}v4"/>'
            f'<text class="tick" x="{x}" y="{y + 16}" text-anchor="middle">{at} s</text>'
        )
    return "".join(parts)
