"""``nodrop status``: what runs, in which version, reachable where, and what happened last."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import click

from nodrop.cli.progress import image_of, phase_of, rollout_message, when
from nodrop.cli.session import connect, engine_of, runs, state_option
from nodrop.cli.urls import urls_of
from nodrop.client.protocol import Scope
from nodrop.clock import SystemClock
from nodrop.model.errors import ApiError
from nodrop.model.kinds import DEPLOYMENT, ENDPOINTSLICE, EVENT, INGRESS, INGRESSCLASS, POD, SECRET
from nodrop.model.meta import Obj, is_deleting
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.client.http import HttpClient

_LAST_EVENTS = 8
_WATCH_EVERY_S = 1.0


@click.command(short_help="Show what runs.")
@state_option
@click.option("-n", "--namespace", help="Only this namespace (default: all).")
@click.option("-w", "--watch", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="For scripts; with --watch a line a change.")
@runs
async def status(state: StateDir, namespace: str | None, watch: bool, as_json: bool) -> None:
    """Show deployments, pods, versions, URLs and the last events.

    With --watch the view is drawn anew every second on a terminal; elsewhere it is printed again
    whenever it has changed.
    """
    async with connect(state) as client:

        async def report() -> Obj:
            return await _report(client, engine_of(state), namespace)

        if watch:
            await _watch(report, as_json=as_json)
        elif as_json:
            click.echo(json.dumps(await report(), indent=2))
        else:
            click.echo(_text(await report()))


async def _watch(report: Callable[[], Awaitable[Obj]], *, as_json: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from nodrop.cli.live import print_changes, show

    async def text() -> str:
        return json.dumps(await report()) if as_json else _text(await report()) + "\n"

    async def view() -> Text:
        return Text(_text(await report()), no_wrap=True, overflow="ellipsis")

    if as_json or not sys.stdout.isatty():
        await print_changes(text, every_s=_WATCH_EVERY_S)
    else:
        await show(view, every_s=_WATCH_EVERY_S, console=Console())


async def _report(client: HttpClient, engine: Obj, namespace: str | None) -> Obj:
    scope = Scope(namespace)
    deployments = (await client.list(DEPLOYMENT, scope)).items
    pods = (await client.list(POD, scope)).items
    slices = (await client.list(ENDPOINTSLICE, scope)).items
    ingresses = (await client.list(INGRESS)).items
    classes = (await client.list(INGRESSCLASS)).items
    events = (await client.list(EVENT, scope)).items
    shown = [one for one in ingresses if namespace in (None, one["metadata"]["namespace"])]
    return {
        "engine": engine,
        "deployments": [_deployment(deployment) for deployment in deployments],
        "pods": [_pod(pod, serving(slices)) for pod in pods],
        "urls": urls_of(
            shown,
            engine["http"]["urls"],
            tls_bases=(engine.get("https") or {}).get("urls") or (),
            among=ingresses,
            classes=classes,
        ),
        "certificates": await _certificates(client, shown, classes),
        "events": [_event(event) for event in latest_events(events, pods)],
    }


def serving(slices: tuple[Obj, ...]) -> set[str]:
    """Uids of pods that get traffic: ready in some slice."""
    return {
        endpoint["targetRef"]["uid"]
        for found in slices
        for endpoint in found.get("endpoints") or ()
        if endpoint.get("targetRef") and (endpoint.get("conditions") or {}).get("ready")
    }


def latest_events(events: Iterable[Obj], pods: Iterable[Obj]) -> list[Obj]:
    """The last Events in order; a failing probe of a pod that is ending or gone is no news."""
    living = {pod["metadata"]["uid"] for pod in pods if not is_deleting(pod)}
    news = (
        event
        for event in events
        if event.get("reason") != "Unhealthy"
        or (event.get("involvedObject") or {}).get("uid") in living
    )
    return sorted(news, key=when)[-_LAST_EVENTS:]


# Private


async def _certificates(
    client: HttpClient, ingresses: Iterable[Obj], classes: Iterable[Obj]
) -> list[str]:
    """What expires; nothing where the user may not read Secrets, or no Ingress has any."""
    secure = [one for one in ingresses if (one.get("spec") or {}).get("tls")]
    if not secure:
        return []
    from nodrop.proxy.expiry import plan_expiry

    try:
        secrets = (await client.list(SECRET)).items
    except ApiError as error:
        if error.code == 403:
            return []
        raise
    findings = plan_expiry(secure, classes, secrets, SystemClock().now())
    return [f"Ingress {one.namespace}/{one.ingress}: {one.text}" for one in findings]


def _deployment(deployment: Obj) -> Obj:
    status = deployment.get("status") or {}
    return {
        "namespace": deployment["metadata"]["namespace"],
        "name": deployment["metadata"]["name"],
        "version": image_of(deployment),
        "desired": deployment["spec"].get("replicas", 1),
        "ready": status.get("readyReplicas", 0),
        "available": status.get("availableReplicas", 0),
        "updated": status.get("updatedReplicas", 0),
        "rollout": rollout_message(deployment)[0],
    }


def _pod(pod: Obj, with_traffic: set[str]) -> Obj:
    status = pod.get("status") or {}
    return {
        "namespace": pod["metadata"]["namespace"],
        "name": pod["metadata"]["name"],
        "version": image_of(pod),
        "state": phase_of(pod),
        "traffic": pod["metadata"]["uid"] in with_traffic,
        "ip": status.get("podIP", ""),
        "restarts": sum(c.get("restartCount", 0) for c in status.get("containerStatuses") or ()),
    }


def _event(event: Obj) -> Obj:
    about = event.get("involvedObject") or {}
    return {
        "time": event.get("lastTimestamp") or event.get("eventTime") or "",
        "type": event.get("type", ""),
        "reason": event.get("reason", ""),
        "object": f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        "message": event.get("message", ""),
        "count": event.get("count", 1),
    }


def _text(report: Obj) -> str:
    engine = report["engine"]
    blocks = [
        f"engine pid {engine['pids']['engine']}, API {engine['api']['url']}, "
        f"HTTP {', '.join(engine['http']['urls'])}{_https(engine)}"
    ]
    if again := engine.get("started_again"):
        blocks.append(f"at {again} its keeper was found dead: all pods were started anew then")
    for title, rows in (("deployments", report["deployments"]), ("pods", report["pods"])):
        if rows:
            blocks.append(_columns([[name.upper() for name in rows[0]], *map(_cells, rows)]))
        else:
            blocks.append(f"no {title}")
    if report["urls"]:
        blocks.append("\n".join(report["urls"]))
    if report["certificates"]:
        blocks.append("\n".join(report["certificates"]))
    if report["events"]:
        blocks.append("\n".join(["last events", *map(_told, report["events"])]))
    return "\n\n".join(blocks)


def _https(engine: Obj) -> str:
    urls = (engine.get("https") or {}).get("urls")
    return f", HTTPS {', '.join(urls)}" if urls else ""


def _told(event: Obj) -> str:
    times = f" (x{event['count']})" if event["count"] > 1 else ""
    return (
        f"{event['time']}  {event['type']:<7}  {event['reason']}  {event['object']}: "
        f"{event['message']}{times}"
    )


def _columns(rows: list[list[str]]) -> str:
    """Rows as aligned text, two spaces between columns, for people and for cut(1) alike."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _cells(row: Obj) -> list[str]:
    return [_cell(value) for value in row.values()]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
