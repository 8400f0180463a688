"""A rehearsal as JUnit XML: one test case an act, and one for the whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr


def render_junit(figures: Mapping[str, Any]) -> str:
    """The file that CI systems read. Inconclusive is an error, lost requests are a failure."""
    suite = f"nodrop rehearse {figures['deployment']} ({figures['mode']})"
    cases = [_act(act, suite) for act in figures["acts"]]
    cases.append(_verdict(figures, suite))
    failures = sum("<failure" in case for case in cases)
    errors = sum("<error" in case for case in cases)
    head = (
        f'<testsuite name={quoteattr(suite)} tests="{len(cases)}" failures="{failures}" '
        f'errors="{errors}" time="{figures["seconds"]}">'
    )
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *cases, "</testsuite>", ""])


def _act(act: Mapping[str, Any], suite: str) -> str:
    seconds = act["seconds"] or 0
    name = f'<testcase classname={quoteattr(suite)} name={quoteattr(act["name"])} time="{seconds}"'
    if not act["lost"]:
        return f"  {name}/>"
    said = f"{act['lost']} of {act['requests']} requests lost"
    return f"  {name}><failure message={quoteattr(said)}/></testcase>"


def _verdict(figures: Mapping[str, Any], suite: str) -> str:
    name = f'<testcase classname={quoteattr(suite)} name="verdict"'
    said = "; ".join(figures["because"])
    match figures["verdict"]:
        case "pass":
            return f"  {name}/>"
        case "inconclusive":
            return f"  {name}><error message={quoteattr('inconclusive: ' + said)}/></testcase>"
        case _:
            mends = escape(
                "\n".join(f"{each['why']}: {each['mend']}" for each in figures["advice"])
            )
            return f"  {name}><failure message={quoteattr(said)}>{mends}</failure></testcase>"
