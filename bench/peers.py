"""The servers that nodrop is compared with, each in front of the same pods.

HAProxy by hand (the very program that nodrop runs), Caddy and Traefik (from their PyPI wheels).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine import BenchFailed, free_port, until_answered


@dataclass(frozen=True, slots=True)
class Side:
    """One of those that are compared: where it answers, and its processes."""

    name: str
    url: str
    pids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a hand-written configuration has beyond addresses and time-outs."""

    defaults: tuple[str, ...] = ()
    frontend: tuple[str, ...] = ()
    server: str = ""


PLAIN = Rules()
#: What nodrop promises, written by hand for one backend: no forged X-Forwarded headers, and a safe
#: request that a pod drops goes to another, and connections that a pod may be about to close are
#: not used again. Only routing at run time is not in it.
SAME_PROMISES = Rules(
    defaults=(
        "option idle-close-on-response",
        "option redispatch 1",
        "retries 5",
        "retry-on conn-failure empty-response",
    ),
    frontend=(
        "http-request del-header x-forwarded- -m beg",
        "http-request del-header x_forwarded_ -m beg",
        "http-request del-header x_real_ip",
        "http-request del-header forwarded",
        "http-request add-header X-Forwarded-For %[src]",
        "http-request add-header X-Forwarded-Proto http",
        "http-request add-header X-Forwarded-Host %[req.hdr(host)]",
        "http-request set-header X-Real-IP %[src]",
        "http-request disable-l7-retry unless { method GET HEAD OPTIONS TRACE }",
    ),
    server=" pool-purge-delay 100ms",
)


def static_config(port: int, addresses: Sequence[str], rules: Rules) -> str:
    """HAProxy with one frontend, one backend, and ``rules``."""
    servers = "".join(
        f"  server s{number} {address}:8080{rules.server}\n"
        for number, address in enumerate(addresses)
    )
    return f"""\
global
  maxconn 2000
defaults
  mode http
  timeout client 60s
  timeout http-request 30s
  timeout http-keep-alive 60s
  timeout connect 5s
  timeout server 60s
{_lines(rules.defaults)}frontend web
  bind 127.0.0.1:{port}
{_lines(rules.frontend)}  default_backend app
backend app
  balance roundrobin
{servers}"""


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


def caddyfile(port: int, addresses: Sequence[str]) -> str:
    """Caddy as its manual sets up a reverse proxy; no TLS, no admin port."""
    pods = " ".join(f"{address}:8080" for address in addresses)
    return f"""\
{{
  admin off
  auto_https off
  persist_config off
}}
http://127.0.0.1:{port} {{
  reverse_proxy {pods} {{
    lb_policy round_robin
  }}
}}
"""


def traefik_static(port: int, dynamic: Path) -> dict[str, Any]:
    """Traefik with the file provider; no access log, no calls home."""
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
        "providers": {"file": {"filename": str(dynamic), "watch": False}},
        "log": {"level": "ERROR"},
    }


def traefik_dynamic(addresses: Sequence[str]) -> dict[str, Any]:
    servers = [{"url": f"http://{address}:8080"} for address in addresses]
    return {
        "http": {
            "routers": {"app": {"rule": "PathPrefix(`/`)", "service": "app"}},
            "services": {"app": {"loadBalancer": {"servers": servers}}},
        }
    }


# Running them


@asynccontextmanager
async def haproxy(
    name: str, binary: Path, folder: Path, addresses: Sequence[str], rules: Rules
) -> AsyncIterator[Side]:
    port = free_port()
    config = folder / f"static-{port}.cfg"
    config.write_text(static_config(port, addresses, rules))
    async with _running(name, port, (str(binary), "-db", "-f", str(config)), folder) as side:
        yield side


@asynccontextmanager
async def caddy(folder: Path, addresses: Sequence[str]) -> AsyncIterator[Side]:
    port = free_port()
    config = folder / "Caddyfile"
    config.write_text(caddyfile(port, addresses))
    run = (str(wheel("caddy")), "run", "--config", str(config), "--adapter", "caddyfile")
    async with _running("Caddy", port, run, folder) as side:
        yield side


@asynccontextmanager
async def traefik(folder: Path, addresses: Sequence[str]) -> AsyncIterator[Side]:
    port = free_port()
    static, dynamic = folder / "traefik.json", folder / "traefik-dynamic.yml"
    dynamic.write_text(json.dumps(traefik_dynamic(addresses)))  # JSON is YAML
    static = folder / "traefik.yml"
    static.write_text(json.dumps(traefik_static(port, dynamic)))
    run = (str(wheel("traefik")), f"--configfile={static}")
    async with _running("Traefik", port, run, folder) as side:
        yield side


def wheel(name: str) -> Path:
    """The program that a wheel of the bench group has put beside Python. Raises BenchFailed."""
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        raise BenchFailed(f"{name} is not installed: ./dev bench does it, with PyPI within reach")
    return program


def have_wheels() -> bool:
    return all(Path(sys.executable).with_name(name).exists() for name in ("caddy", "traefik"))


@asynccontextmanager
async def _running(
    name: str, port: int, command: Sequence[str], folder: Path
) -> AsyncIterator[Side]:
    """A server until the block is left; its output goes to a file in ``folder``."""
    environment: Mapping[str, str] = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with (folder / f"{name.split()[0].lower()}-{port}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, cwd=folder, stdin=asyncio.subprocess.DEVNULL,
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        await until_answered(url)
        yield Side(name, url, (process.pid,))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
