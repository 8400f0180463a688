"""A plan as one self-contained SVG; pure."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from nodrop.plan.report import DeploymentPlan, PlanReport
from nodrop.plan.rows import Bar, Row
from nodrop.plan.text import seconds

_COLOURS = {
    "starting": "#f2c14e", "ready": "#7fb7be", "available": "#2a9d5c", "ending": "#b07aa1",
}  # fmt: skip
_WIDTH, _LEFT, _RIGHT = 960, 230, 20
_ROW, _BAR, _TITLE, _BELOW = 20, 14, 64, 56
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:15px;font-weight:600}"
    ".s{fill:#555}.r{text-anchor:end}.m{text-anchor:middle;fill:#555}line{stroke:#ddd}"
)


def render_svg(report: PlanReport) -> str:
    """One chart a Deployment, one below the other."""
    pieces: list[str] = []
    top = 10
    for plan in report.deployments:
        pieces += _chart(plan, top)
        top += _height(plan)
    for line in ("assumed:", *report.assumed):
        pieces.append(f'<text class="s" x="12" y="{top + 6}">{escape(line)}</text>')
        top += 16
    body = "\n".join(pieces)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 8}" '
        f'width="{_WIDTH}" height="{top + 8}" role="img" aria-label="planned rollout">\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


# Private


def _height(plan: DeploymentPlan) -> int:
    return _TITLE + _ROW * len(plan.rows) + _BELOW


def _chart(plan: DeploymentPlan, top: int) -> Iterator[str]:
    summary = plan.summary
    title = f"deployment/{plan.name}: {plan.headline}"
    yield f'<text class="t" x="12" y="{top + 18}">{escape(title)}</text>'
    told = (
        f"rolled out after {seconds(summary.complete_s)} · least available {summary.least} of "
        f"{summary.desired} · most pods at once {summary.most} · reduced capacity "
        f"{seconds(summary.reduced_s) if summary.reduced_s else 'never'}"
    )
    yield f'<text class="s" x="12" y="{top + 38}">{escape(told)}</text>'
    if not plan.rows:
        return
    first, last = top + _TITLE - 12, top + _TITLE + _ROW * len(plan.rows)
    yield from _ticks(plan.ended_s, first, last)
    for number, row in enumerate(plan.rows):
        yield from _row(row, plan.ended_s, top + _TITLE + _ROW * number)
    yield from _legend(last + 34)


def _ticks(ended_s: float, first: int, last: int) -> Iterator[str]:
    step_s = next((step for step in _TICKS if ended_s / step <= 10), max(_TICKS[-1], ended_s / 10))
    for number in range(int(ended_s / step_s) + 1):
        x = _x(number * step_s, ended_s)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{first}" y2="{last}"/>'
        label = seconds(number * step_s)
        yield f'<text class="m" x="{x:.1f}" y="{last + 14}">{label}</text>'


def _row(row: Row, ended_s: float, y: int) -> Iterator[str]:
    label = f"{row.version}  {row.name}"
    shown = label if len(label) <= 34 else label[:33] + "…"
    yield f'<text class="r" x="{_LEFT - 8}" y="{y + 11}">{escape(shown)}</text>'
    for bar in row.bars:
        yield _bar(bar, ended_s, y, label)


def _bar(bar: Bar, ended_s: float, y: int, label: str) -> str:
    x, to = _x(bar.from_s, ended_s), _x(bar.to_s, ended_s)
    told = escape(f"{label}: {bar.phase} {bar.from_s:.2f}–{bar.to_s:.2f} s")
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{max(1.0, to - x):.1f}" height="{_BAR}" rx="2" '
        f'fill="{_COLOURS[bar.phase]}"><title>{told}</title></rect>'
    )


def _legend(y: int) -> Iterator[str]:
    for number, (phase, colour) in enumerate(_COLOURS.items()):
        x = _LEFT + 110 * number
        yield f'<rect x="{x}" y="{y - 10}" width="12" height="12" rx="2" fill="{colour}"/>'
        yield f'<text class="s" x="{x + 18}" y="{y}">{phase}</text>'


def _x(at_s: float, ended_s: float) -> float:
    room = _WIDTH - _LEFT - _RIGHT
    return _LEFT + (room * min(at_s, ended_s) / ended_s if ended_s else 0.0)
