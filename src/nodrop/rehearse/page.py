"""A rehearsal as one HTML page that needs nothing else: no network, no other file. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from nodrop.rehearse.picture import colour_of, render_picture
from nodrop.rehearse.series import versions_of

_WIDE, _NARROW = 1000, 400
_LISTED = 200
_SAYS = {
    "pass": "No request was lost",
    "lost": "Requests were lost",
    "inconclusive": "Inconclusive",
}


def render_page(figures: Mapping[str, Any]) -> str:
    """The whole page."""
    name = escape(figures["deployment"])
    body = "\n".join(
        (
            _head(figures),
            _advice(figures["advice"]),
            _pictures(figures),
            _acts(figures["acts"]),
            _app(figures["app"]),
            _kinds(figures["kinds"]),
            _losses(figures["losses"], figures["lost"]),
            _foot(figures),
        )
    )
    data = json.dumps(figures).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">"
        f"<title>Rehearsal of {name}</title><style>{_STYLE}</style></head><body><main>\n{body}\n"
        f'</main><script type="application/json" id="figures">{data}</script>'
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _head(figures: Mapping[str, Any]) -> str:
    load, result = figures["load"], figures["verdict"]
    numbers = (
        (f"{figures['requests']:,}", "requests"),
        (f"{figures['answered']:,}", "answered"),
        (f"{figures['lost']:,}", "lost"),
        (f"{load['p50_ms']:.1f} ms", "p50"),
        (f"{load['p99_ms']:.1f} ms", "p99"),
        (str(sum(act["terminations"] for act in figures["acts"])), "pods ended"),
    )
    tiles = "".join(f"<div><b>{number}</b><span>{told}</span></div>" for number, told in numbers)
    return (
        f'<header class="{result}"><p>Rehearsal of <b>{escape(figures["deployment"])}</b>, '
        f"{escape(figures['mode'])} mode</p><h1>{_SAYS[result]}</h1>"
        f"<p>{escape('; '.join(figures['because']))}</p></header>"
        f'<section class="tiles">{tiles}</section>'
    )


def _advice(advice: Iterable[Mapping[str, Any]]) -> str:
    cards = []
    for each in advice:
        rules = ", ".join(each["rules"])
        told = f'<p class="rules">nodrop check would have said so: {rules}</p>' if rules else ""
        setting = f"<pre>{escape(each['setting'])}</pre>" if each["setting"] else ""
        cards.append(
            f'<article class="advice"><h3>{each["requests"]} lost: {escape(each["why"])}</h3>'
            f"<p>{escape(each['mend'])}</p>{setting}{told}</article>"
        )
    return f"<section><h2>What to change</h2>{''.join(cards)}</section>" if cards else ""


def _pictures(figures: Mapping[str, Any]) -> str:
    versions = list(
        dict.fromkeys(
            [*(pod["version"] for pod in figures["pods"]), *versions_of(figures["series"])]
        )
    )
    keys = [f'<span><i class="{colour_of(v, versions)}"></i>{escape(v)}</span>' for v in versions]
    states = (("starting", "starting"), ("draining", "told to end"), ("ending", "after SIGTERM"))
    keys += [f'<span><i class="pod {kind}"></i>{told}</span>' for kind, told in states]
    keys.append('<span><i class="lost"></i>lost</span>')
    return (
        f'<section><h2>What happened</h2><p class="keys">{"".join(keys)}</p>'
        f'<div class="wide">{render_picture(figures, width=_WIDE)}</div>'
        f'<div class="narrow">{render_picture(figures, width=_NARROW)}</div>'
        '<p id="detail" aria-live="polite">Point at, or tap, a bar or a mark.</p></section>'
    )


def _acts(acts: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"{number}. {act['name']}",
            f"{act['at_s']:.1f} s",
            "-" if act["seconds"] is None else f"{act['seconds']:.1f} s",
            f"{act['requests']:,}",
            f"{act['lost']:,}",
            f"{act['p99_ms']:.1f} ms",
            f"{act['terminations_under_load']} of {act['terminations']}",
        )
        for number, act in enumerate(acts, 1)
    ]
    head = ("act", "began", "took", "requests", "lost", "p99", "pods ended under load")
    return f"<section><h2>Acts</h2>{_table(head, rows)}</section>"


def _app(app: Mapping[str, Any] | None) -> str:
    if not app:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in app["lines"])
    return f"<section><h2>The app alone</h2><ul>{lines}</ul></section>"


def _kinds(kinds: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (f"{kind['requests']:,}", kind["cause"], kind["phase"] or "not known", kind["version"])
        for kind in kinds
    ]
    if not rows:
        return ""
    head = ("requests", "cause", "the pod was", "version")
    return f"<section><h2>Where requests were lost</h2>{_table(head, rows)}</section>"


def _losses(losses: list[Mapping[str, Any]], lost: int) -> str:
    rows = [
        (
            f"{loss['at_s']:.3f} s",
            f"{loss['method']} {loss['path']}",
            f"{loss['cause']}: {loss['detail']}",
            f"{loss['pod'] or 'not known'} ({loss['sureness']})" if loss["pod"] else "not known",
            loss["phase"],
            ", ".join(f"{step['step']} at {step['at_s']:.2f} s" for step in loss["around"]),
        )
        for loss in losses[:_LISTED]
    ]
    if not rows:
        return ""
    head = ("at", "request", "cause", "pod", "the pod was", "its story")
    told = f"the first {len(rows)} of {lost:,}" if lost > len(rows) else f"{lost:,}"
    return (
        f"<section><details><summary>Every lost request ({told})</summary>"
        f"{_table(head, rows)}</details></section>"
    )


def _foot(figures: Mapping[str, Any]) -> str:
    paths = ", ".join(figures["paths"])
    left = "".join(f"<p>Left out: {escape(said)}.</p>" for said in figures["left_out"])
    return (
        f"<footer>{left}<p>{figures['rate']:g} requests a second to {escape(paths)}, open loop: "
        "latency counts from the moment a request was due. Place: "
        f"{escape(figures['place'])}, seed {figures['seed']}. All figures are in this page as "
        "JSON (#figures).</p></footer>"
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = "".join(f"<th>{escape(each)}</th>" for each in head)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


_STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfd;--fg:#1c2230;--soft:#667085;--line:#dde1e9;--card:#fff;
--good:#16794c;--bad:#c8322b;--doubt:#946200;--v0:#3b6fd4;--v1:#2a9d8f;--v2:#8a5cd1;--v3:#c9792c;
--v4:#5a7d2b;--v5:#b04a86;--warn:#e0a526;--end:#d9662f}
@media(prefers-color-scheme:dark){:root{--bg:#12151c;--fg:#e6e9f0;--soft:#98a2b3;--line:#2b3140;
--card:#1a1f2a;--good:#3fbf83;--bad:#ff6b61;--doubt:#e5b04c;--v0:#6d9bf5;--v1:#4cc3b4;
--v2:#b08cf0;--v3:#e5a05c;--v4:#98c15f;--v5:#dd83b6}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1080px;margin:0 auto;padding:20px 16px 60px}
header{border-left:6px solid var(--soft);padding:4px 16px;margin:8px 0 20px}
header.pass{border-color:var(--good)}header.lost{border-color:var(--bad)}
header.inconclusive{border-color:var(--doubt)}header p{margin:2px 0;color:var(--soft)}
header.pass h1{color:var(--good)}header.lost h1{color:var(--bad)}
header.inconclusive h1{color:var(--doubt)}
h1{font-size:30px;line-height:1.2;margin:2px 0}h2{font-size:18px;margin:32px 0 10px}
h3{font-size:15px;margin:0 0 4px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(104px,1fr));gap:10px}
.tiles div,.advice{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:10px 14px}.tiles b{display:block;white-space:nowrap;font-size:20px;
font-variant-numeric:tabular-nums}
.tiles span,.rules,footer,.label,.tick,.actname{color:var(--soft)}.tiles span,.rules{font-size:13px}
.advice{margin:10px 0;border-left:4px solid var(--doubt)}.advice p{margin:4px 0}
pre{background:var(--bg);border:1px solid var(--line);border-radius:8px;padding:8px 12px;
overflow:auto;font:13px/1.45 ui-monospace,monospace}
.keys{display:flex;flex-wrap:wrap;gap:4px 16px;margin:0 0 8px;font-size:13px}
.keys i{display:inline-block;width:14px;height:10px;border-radius:2px;margin-right:6px}
.picture{width:100%;height:auto;background:var(--card);border:1px solid var(--line);
border-radius:10px}.narrow{display:none}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}svg .label{font-weight:600}
svg .grid{stroke:var(--line);fill:none}svg .act{fill:var(--soft);opacity:.09}
.v0{fill:var(--v0);background:var(--v0)}.v1{fill:var(--v1);background:var(--v1)}
.v2{fill:var(--v2);background:var(--v2)}.v3{fill:var(--v3);background:var(--v3)}
.v4{fill:var(--v4);background:var(--v4)}.v5{fill:var(--v5);background:var(--v5)}
.v9{fill:var(--soft);background:var(--soft)}
.pod.starting{opacity:.35}i.pod.starting{background:var(--soft)}
.pod.draining,.pod.hook{fill:var(--warn);background:var(--warn)}
.pod.ending{fill:var(--end);background:var(--end)}
svg .lost,i.lost,.mark{fill:var(--bad);background:var(--bad)}.mark{cursor:pointer}
svg rect:focus{outline:none;stroke:var(--fg);stroke-width:1.5}
.p99{fill:none;stroke:var(--v2);stroke-width:1.6}.p50{fill:none;stroke:var(--soft);stroke-width:1.4}
#detail{min-height:3em;font-size:13px;color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13.5px;
font-variant-numeric:tabular-nums}th,td{text-align:left;padding:6px 10px;
border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--soft);font-weight:600;
white-space:nowrap}summary{cursor:pointer;font-weight:600;margin:24px 0 8px}
footer{margin-top:32px;font-size:13px}
@media(max-width:640px){.wide{display:none}.narrow{display:block}h1{font-size:24px}
svg text{font-size:12px}}
"""

_SCRIPT = """
const detail = document.getElementById("detail");
for (const event of ["pointerover", "focusin", "click"])
  document.addEventListener(event, ({ target }) => {
    const title = target.closest?.("svg rect")?.querySelector("title");
    if (title) detail.textContent = title.textContent;
  });
"""
