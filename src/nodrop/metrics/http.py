"""Metrics over HTTP: ``/metrics``, what ``nodrop top`` reads, and counts of API requests."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from nodrop.apiserver.handlers import json_response
from nodrop.apiserver.paths import FindKind, Target, parse_path
from nodrop.metrics.instruments import Instruments
from nodrop.metrics.metrics import Metrics
from nodrop.metrics.top import top_of

METRICS_PATH, TOP_PATH = "/metrics", "/nodrop/top"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


def metrics_routes(metrics: Metrics) -> list[web.RouteDef]:
    async def scrape(_: web.Request) -> web.Response:
        headers = {"Content-Type": CONTENT_TYPE_LATEST}
        return web.Response(body=await metrics.scrape(), headers=headers)

    async def top(_: web.Request) -> web.Response:
        now_s = asyncio.get_running_loop().time()
        pods = metrics.directory.look().values()
        found = top_of(metrics.looks, metrics.latency, pods, metrics.usage, now_s=now_s)
        return json_response(msgspec.json.encode(found))

    return [web.get(METRICS_PATH, scrape), web.get(TOP_PATH, top)]


def counted(instruments: Instruments, find: FindKind) -> Middleware:
    """A middleware that counts requests by verb, resource and code, and open watches.

    ``find`` knows the served kinds, custom ones too.
    """

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        target = parse_path(request.path, find)
        verb, resource = verb_of(request, target), target.kind.resource if target else ""
        began_s, code = asyncio.get_running_loop().time(), "closed"
        if verb == "watch":
            instruments.api_watchers.labels(resource).inc()
        try:
            response = await handler(request)
            code = str(response.status)
            return response
        finally:
            instruments.api_requests.labels(verb, resource, code).inc()
            if verb == "watch":
                instruments.api_watchers.labels(resource).dec()
            elif target is None or target.subresource != "log":
                took_s = asyncio.get_running_loop().time() - began_s
                instruments.api_duration.labels(verb).observe(took_s)

    return count


class MetricsServer:
    """``/metrics`` alone, in plain HTTP for who has no credentials: local users, no secrets."""

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None

    async def start(self, metrics: Metrics, host: str, port: int) -> None:
        """Raises OSError when the address can't be had."""
        app = web.Application()
        app.add_routes(route for route in metrics_routes(metrics) if route.path == METRICS_PATH)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


def verb_of(request: web.BaseRequest, target: Target | None) -> str:
    """As Kubernetes names what is done; "" for documents that are no objects."""
    if target is None:
        return ""
    match request.method:
        case "GET" | "HEAD":
            if request.query.get("watch") in ("1", "true"):
                return "watch"
            return "get" if target.name else "list"
        case "DELETE":
            return "delete" if target.name else "deletecollection"
        case method:
            return _VERBS.get(method, "other")
