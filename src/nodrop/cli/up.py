"""``nodrop up``: engine, apply, rollout, URLs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodrop.check.broken import BrokenManifest
from nodrop.cli.durations import duration
from nodrop.cli.manifests import read_manifests, skip_unserved_option
from nodrop.cli.session import (
    FAILED,
    USAGE,
    Failure,
    connect,
    engine_of,
    first_of,
    interrupted_as,
    namespace_option,
    runs,
    state_option,
)
from nodrop.model.errors import ApiError
from nodrop.model.kinds import DEPLOYMENT, INGRESS, INGRESSCLASS, POD, SECRET, SERVICE
from nodrop.model.meta import Obj, ObjectKey, key_of
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.check.cluster import Cluster
    from nodrop.cli.apply import Applied
    from nodrop.cli.follow import Failed
    from nodrop.client.http import HttpClient

_PORT = click.IntRange(0, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    """What the engine is to listen on and to log; None and empty: as it likes."""

    http_port: int | None
    https_port: int | None
    api_port: int | None
    bind: tuple[str, ...]
    access_log: bool | None
    metrics_port: int | None

    def arguments(self) -> list[str]:
        found = [f"--bind={address}" for address in self.bind]
        if self.http_port is not None:
            found.append(f"--http-port={self.http_port}")
        if self.https_port is not None:
            found.append(f"--https-port={self.https_port}")
        if self.api_port is not None:
            found.append(f"--api-port={self.api_port}")
        if self.access_log is not None:
            found.append("--access-log" if self.access_log else "--no-access-log")
        if self.metrics_port is not None:
            found.append(f"--metrics-port={self.metrics_port}")
        return found


@dataclass(slots=True, kw_only=True)
class _Report:
    """What has happened so far: said as it happens, or as one JSON object at the end."""

    as_json: bool
    applied: list[Applied] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failures: list[Obj] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    all_applied: bool = False

    def say(self, text: object) -> None:
        if not self.as_json:
            click.echo(str(text))

    def warn(self, warning: str) -> None:
        self.warnings.append(warning)
        click.echo(f"warning: {warning}", err=True)

    def note(self, applied: Applied) -> None:
        self.applied.append(applied)
        self.say(applied)

    def fail(self, error: Exception) -> None:
        self.failures.extend(_failures_of(first_of(error)))

    def interrupted(self) -> str:
        """What Ctrl-C leaves behind."""
        if self.all_applied:
            names = [one.key.name for one in self.applied if one.key.kind is DEPLOYMENT]
            name = names[0] if names else "NAME"
            return f"all objects are applied; the rollout goes on: nodrop rollout status {name}"
        if self.applied:
            return "only the objects named above were applied; run it again to apply the rest"
        return "nothing was applied"

    def to_json(self) -> str:
        applied = [{"object": _named(one.key), "outcome": one.outcome} for one in self.applied]
        return json.dumps(
            {
                "applied": applied,
                "warnings": self.warnings,
                "failures": self.failures,
                "urls": self.urls,
            }
        )


@click.command(short_help="Apply manifests, follow the rollout, print the URLs.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@state_option
@namespace_option
@skip_unserved_option
@click.option("--timeout", "timeout_s", type=duration, help="Give up following then (0: never).")
@click.option("--no-wait", is_flag=True, help="Apply and return; do not follow the rollout.")
@click.option("--http-port", type=_PORT, help="Port of the Ingress (80, else 8080; 0: a free one).")
@click.option("--https-port", type=_PORT, help="The same for TLS (443, else 8443).")
@click.option(
    "--api-port",
    type=_PORT,
    help="Port of the Kubernetes API (6443, else a free one; 0: a free one).",
)
@click.option(
    "--bind",
    multiple=True,
    metavar="ADDRESS",
    help="Where the Ingress listens (repeatable; every address of the machine).",
)
@click.option("--access-log/--no-access-log", default=None, help="Log every request (as before).")
@click.option("--metrics-port", type=_PORT, help="Serve /metrics there without credentials too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@runs
async def up(
    files: tuple[Path, ...],
    state: StateDir,
    namespace: str,
    skip_unserved: bool,
    timeout_s: float | None,
    no_wait: bool,
    http_port: int | None,
    https_port: int | None,
    api_port: int | None,
    bind: tuple[str, ...],
    access_log: bool | None,
    metrics_port: int | None,
    as_json: bool,
) -> int:
    """Apply manifests, follow the rollout, print the URLs.

    Starts the engine in the background if it does not run yet. A relative command or workingDir
    in a manifest is meant from the manifest's folder; FILES may be - for standard input. Exit
    code 1 if the rollout fails: it says why, and the version that ran before keeps serving.
    """
    report = _Report(as_json=as_json)
    ports = _Ports(
        http_port=http_port,
        https_port=https_port,
        api_port=api_port,
        bind=bind,
        access_log=access_log,
        metrics_port=metrics_port,
    )
    try:
        with interrupted_as(report.interrupted):
            failed = await _up(
                report,
                files,
                state,
                namespace=namespace,
                skip_unserved=skip_unserved,
                ports=ports,
                wait=(not no_wait, timeout_s),
            )
    except (Failure, ApiError, BrokenManifest, ExceptionGroup) as error:
        if as_json:
            report.fail(error)
            click.echo(report.to_json())
        raise
    if as_json:
        click.echo(report.to_json())
    elif not failed:
        for url in report.urls:
            click.echo(url)
    return FAILED if failed else 0


# Private


async def _up(
    report: _Report,
    files: Sequence[Path],
    state: StateDir,
    *,
    namespace: str,
    skip_unserved: bool,
    ports: _Ports,
    wait: tuple[bool, float | None],
) -> bool:
    """Do it; returns whether a rollout failed."""
    from nodrop.cli.apply import apply_all, places_of, prepare, warnings_of
    from nodrop.cli.background import until_adopted

    documents = read_manifests(files, skip_unserved=skip_unserved, warn=report.warn)
    objects = prepare(documents, namespace)
    for warning in warnings_of(documents):
        report.warn(warning)
    engine, started = await _engine(report, state, ports)
    async with connect(state) as client:
        if started:
            adopted = await until_adopted(state)
            known = {key_of(obj) for obj in objects}
            await _say_what_came_back(report, client, known, adopted=adopted)
        places = places_of(documents, namespace)
        await apply_all(client, objects, places=places, done=report.note)
        report.all_applied = True
        await _tell_consequences(report, client, engine, hints=not started)
        keys = [one.key for one in report.applied if one.key.kind is DEPLOYMENT]
        if not (wait[0] and keys):
            return False
        return bool(await _follow(report, client, keys, state, timeout_s=wait[1]))


async def _engine(report: _Report, state: StateDir, ports: _Ports) -> tuple[Obj, bool]:
    from nodrop.cli.background import ensure_engine, refused_options, refused_settings
    from nodrop.statedir import USUAL_API_PORT

    engine, started = await ensure_engine(state, ports.arguments())
    if started:
        report.say(f"engine started (pid {engine['pids']['engine']}, state {state.root})")
        if hint := engine["http"].get("hint"):
            report.say(f"hint: {hint}")
        if ports.api_port is None and (port := engine["api"]["port"]) != USUAL_API_PORT:
            report.say(f"hint: its API is at port {port}, not {USUAL_API_PORT}")
    elif refused := refused_options(
        engine,
        http_port=ports.http_port,
        https_port=ports.https_port,
        api_port=ports.api_port,
        bind=ports.bind,
    ) + refused_settings(state, access_log=ports.access_log, metrics_port=ports.metrics_port):
        raise Failure(
            f"the engine runs already, with other options: {'; '.join(refused)}",
            hint="to change them: nodrop down, then nodrop up again (objects are kept)",
            code=USAGE,
        )
    return engine, started


async def _say_what_came_back(
    report: _Report, client: HttpClient, known: set[ObjectKey], *, adopted: int | None
) -> None:
    """An engine that starts brings back all its objects, also those nobody thinks of now.

    Where only the engine had ended, pods never stopped, and there is nothing to bring back.
    """
    if adopted:
        pods = "1 pod" if adopted == 1 else f"{adopted} pods"
        report.say(f"{pods} had gone on without the engine: adopted, not restarted")
        return
    back = [key_of(one) for one in (await client.list(DEPLOYMENT)).items]
    if names := [key.name for key in back if key not in known]:
        report.say(f"brought back: {', '.join(names)}")


async def _tell_consequences(
    report: _Report, client: HttpClient, engine: Obj, *, hints: bool
) -> None:
    """Warn of what leads nowhere, find the URLs, and say what stays as it was."""
    from nodrop.check.cluster import Name, cluster_warnings
    from nodrop.cli.unchanged import restart_hints
    from nodrop.cli.urls import ingresses_to, urls_of

    cluster = await _cluster(client)
    names = {Name(one.key.kind.kind, *one.key[1:]): one.outcome for one in report.applied}
    for warning in cluster_warnings(names, cluster):
        report.warn(warning)
    report.urls = urls_of(
        ingresses_to(names, cluster),
        engine["http"]["urls"],
        tls_bases=(engine.get("https") or {}).get("urls") or (),
        among=cluster.ingresses,
        classes=cluster.classes,
    )
    changed = [name for name, outcome in names.items() if outcome != "unchanged"]
    still = [
        Name(one.key.kind.kind, *one.key[1:])
        for one in report.applied
        if one.outcome != "created" and not one.rolls
    ]
    for hint in restart_hints(cluster.deployments, still, changed):
        if hints:
            click.echo(f"hint: {hint}", err=True)


async def _cluster(client: HttpClient) -> Cluster:
    from nodrop.check.cluster import Cluster

    return Cluster(
        deployments=(await client.list(DEPLOYMENT)).items,
        pods=(await client.list(POD)).items,
        services=(await client.list(SERVICE)).items,
        ingresses=(await client.list(INGRESS)).items,
        classes=(await client.list(INGRESSCLASS)).items,
        secrets=(await client.list(SECRET)).items,
    )


async def _follow(
    report: _Report,
    client: HttpClient,
    keys: Sequence[ObjectKey],
    state: StateDir,
    *,
    timeout_s: float | None,
) -> list[Failed]:
    from nodrop.cli.follow import follow, say_failed

    check = partial(engine_of, state)
    failed = await follow(client, keys, timeout_s=timeout_s, quiet=report.as_json, check=check)
    report.failures += [{"object": _named(one.key), "lines": list(one.lines)} for one in failed]
    if not report.as_json:
        say_failed(failed)
    return failed


def _named(key: ObjectKey) -> Obj:
    return {"kind": key.kind.kind, "namespace": key.namespace, "name": key.name}


def _failures_of(error: Exception) -> list[Obj]:
    from nodrop.cli.apply import Refused

    if not isinstance(error, Refused):
        return [{"object": None, "lines": str(error).splitlines() or ["interrupted"]}]
    return [
        {
            "object": _named(fault.key) if fault.key else None,
            "place": fault.place,
            "lines": fault.message.splitlines(),
        }
        for fault in error.faults
    ]
