"""A rehearsal's summary in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_STYLES = {"pass": "bold green", "lost": "bold red", "inconclusive": "bold yellow"}
_SHOWN_LOSSES = 5


def render_summary(figures: Mapping[str, Any]) -> RenderableType:
    """Acts, where requests were lost and why, what to change, and the verdict."""
    parts: list[RenderableType] = [_acts(figures)]
    parts += _app_lines(figures)
    if figures["kinds"]:
        parts += [_kinds(figures), *_examples(figures), *_advice(figures)]
    parts += [Text(f"left out: {said}") for said in figures["left_out"]]
    load = figures["load"]
    parts.append(
        Text(
            f"{figures['requests']} requests at {figures['rate']:g}/s, "
            f"{figures['answered']} answered, {figures['lost']} lost; "
            f"p50 {load['p50_ms']:.1f} ms, p99 {load['p99_ms']:.1f} ms"
        )
    )
    verdict = Text(f"verdict ({figures['mode']} mode): ")
    verdict.append(figures["verdict"], style=_STYLES[figures["verdict"]])
    verdict.append(f": {'; '.join(figures['because'])}")
    return Group(*parts, verdict)


def _acts(figures: Mapping[str, Any]) -> Table:
    table = Table(title=f"Rehearsal of {figures['deployment']}, {figures['mode']} mode")
    for column in ("act", "requests", "lost", "seconds", "p99 ms", "pods ended"):
        table.add_column(column, justify="left" if column == "act" else "right", no_wrap=True)
    for act in figures["acts"]:
        seconds = "-" if act["seconds"] is None else f"{act['seconds']:.1f}"
        table.add_row(
            act["name"],
            str(act["requests"]),
            Text(str(act["lost"]), style="bold red" if act["lost"] else "green"),
            seconds,
            f"{act['p99_ms']:.1f}",
            f"{act['terminations_under_load']}/{act['terminations']}",
        )
    return table


def _kinds(figures: Mapping[str, Any]) -> Table:
    table = Table(title="Where requests were lost")
    for column in ("requests", "cause", "the pod was", "version"):
        table.add_column(column, justify="right" if column == "requests" else "left")
    for kind in figures["kinds"]:
        table.add_row(
            str(kind["requests"]), kind["cause"], kind["phase"] or "not known", kind["version"]
        )
    return table


def _examples(figures: Mapping[str, Any]) -> list[Text]:
    lines = [Text("the first of them:")]
    for loss in figures["losses"][:_SHOWN_LOSSES]:
        story = ", ".join(
            f"{step['step']} {_relative(step['before_s'])}" for step in loss["around"]
        )
        pod = f"{loss['pod']} ({loss['sureness']})" if loss["pod"] else "no pod is known"
        lines.append(
            Text(
                f"  {loss['at_s']:7.3f} s  {loss['method']} {loss['path']}  {loss['cause']}: "
                f"{loss['detail']}; {pod}{': ' if story else ''}{story}"
            )
        )
    return lines


def _relative(before_s: float) -> str:
    return f"{before_s:.2f} s before" if before_s >= 0 else f"{-before_s:.2f} s after"


def _advice(figures: Mapping[str, Any]) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for each in figures["advice"]:
        rules = f" (nodrop check: {', '.join(each['rules'])})" if each["rules"] else ""
        parts.append(Text(f"{each['requests']} lost because {each['why']}", style="bold"))
        parts.append(Text(f"  mend: {each['mend']}{rules}"))
        if each["setting"]:
            parts.append(Text(indent(each["setting"], "    "), style="cyan"))
    return parts


def _app_lines(figures: Mapping[str, Any]) -> list[Text]:
    return [Text(line) for line in (figures["app"] or {}).get("lines", ())]
