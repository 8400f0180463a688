"""The API server: routes, credentials, errors, and HTTPS on loopback."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Middleware

from nodrop.apiserver import discovery
from nodrop.apiserver.access import Access, Speaker, set_speaker, user_of
from nodrop.apiserver.auth import Auth, peer_certificate, unauthorized
from nodrop.apiserver.bodies import BODY_LIMIT_BYTES, decode_object
from nodrop.apiserver.handlers import (
    ObjectHandlers,
    json_response,
    method_not_allowed,
    read_body,
    status_response,
)
from nodrop.apiserver.health import Health
from nodrop.apiserver.issuer import issuer_routes
from nodrop.apiserver.limits import Gate, Limits
from nodrop.apiserver.openapi import OpenApi
from nodrop.apiserver.paths import parse_path, unserved_feature
from nodrop.apiserver.rendering import encode
from nodrop.apiserver.reviews import Reviews, review_at
from nodrop.apiserver.streaming import StreamHandlers
from nodrop.apiserver.streams import Executor, LogSource
from nodrop.apiserver.swagger import media_type_for
from nodrop.apiserver.swaggerpb import MEDIA_TYPE
from nodrop.clock import Clock
from nodrop.model.catalogue import Catalogue
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj
from nodrop.model.rbac import ANONYMOUS, PUBLIC, User
from nodrop.registry.forms import FormsRegistry
from nodrop.registry.interface import Registry

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPEN = web.AppKey("open requests", set[asyncio.Task[object]])
_STOP_WITHIN_S = 2.0
#: As Go's servers have it: a command of ``kubectl exec`` and long selectors stand in the URL.
_LINE_LIMIT_BYTES = 1 << 20


def build_app(
    registry: Registry,
    *,
    auth: Auth,
    logs: LogSource,
    executor: Executor,
    clock: Clock,
    routes: Iterable[web.AbstractRouteDef] = (),
    around: Iterable[Middleware] = (),
    limits: Limits | None = None,
    health: Health | None = None,
) -> web.Application:
    """The application. ``routes`` are served besides, under the same credentials.

    ``around`` are middlewares that see every request first, and its answer last.
    """
    gate = Gate(limits or Limits())
    access = Access(registry)
    app = web.Application(
        middlewares=[*around, _with_status_errors, _credentials(auth, gate, access)],
        client_max_size=BODY_LIMIT_BYTES,
    )
    app[_OPEN] = set()
    app.on_shutdown.append(_end_open_requests)
    fixed = _fixed_routes(OpenApi(registry.kinds), registry.kinds)
    healthy = (health or Health()).routes()
    issuer = issuer_routes(auth.accounts) if auth.accounts is not None else []
    app.add_routes(_guarded(route, access) for route in (*routes, *fixed, *healthy, *issuer))
    streams = StreamHandlers(registry, executor=executor)
    objects = ObjectHandlers(
        FormsRegistry(registry),
        access=access,
        gate=gate,
        logs=logs,
        streams=streams,
        clock=clock,
        accounts=auth.accounts,
    )
    reviews = Reviews(access, auth)

    async def serve_objects(request: web.Request) -> web.StreamResponse:
        if asked := review_at(request.path):
            return await _review(reviews, request, *asked)
        target = parse_path(request.path, registry.kinds.for_resource)
        if target is None:
            raise not_offered(request.path) or path_not_found()
        return await objects.handle(request, target)

    app.router.add_route("*", "/{path:.*}", serve_objects)
    return app


class ApiServer:
    """The application on a TLS socket."""

    def __init__(self, app: web.Application, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=_STOP_WITHIN_S,
            keepalive_timeout=75.0,
            max_line_size=_LINE_LIMIT_BYTES,
        )

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port. Raises OSError when the address can't be had."""
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, host, port, ssl_context=self._tls)
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Stop listening and end what is open, watches included."""
        await self._runner.cleanup()


def not_offered(path: str) -> ApiError | None:
    """The answer to what clusters can and nodrop can't yet; kubectl prints its message."""
    feature = unserved_feature(path)
    if not feature:
        return None
    mend = "pods are processes of this machine: nodrop status shows their addresses"
    return ApiError(501, "NotImplemented", f"nodrop does not offer {feature} yet; {mend}")


def path_not_found() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


# Private


async def _end_open_requests(app: web.Application) -> None:
    tasks = app[_OPEN]
    for task in tuple(tasks):
        task.cancel()


@web.middleware
async def _with_status_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure becomes a Status; what we did not expect is logged once."""
    task = asyncio.current_task()
    assert task is not None
    request.app[_OPEN].add(task)
    try:
        return await handler(request)
    except ApiError as error:
        return status_response(error)
    except web.HTTPMethodNotAllowed:
        return status_response(method_not_allowed())
    except web.HTTPNotFound:
        return status_response(path_not_found())
    except web.HTTPException:
        raise
    except RecursionError:
        return status_response(bad_request("the body is nested too deep"))
    except ConnectionResetError:
        if request.transport is not None and not request.transport.is_closing():
            raise
        return web.Response()  # the client has gone: no failure of ours, and nobody reads it
    except Exception as error:
        log.exception("%s %s failed", request.method, request.path)
        if request.writer.output_size > 0:
            # In mid-answer no Status can be sent; cutting the connection is what a client sees.
            raise ConnectionResetError("the answer was cut off by a failure") from error
        why = f"Internal error occurred: {type(error).__name__}: {error}"
        return status_response(ApiError(500, "InternalError", why))
    finally:
        request.app[_OPEN].discard(task)
        log.debug("%s %s", request.method, request.path_qs)


def _credentials(auth: Auth, gate: Gate, access: Access) -> Middleware:
    def identify(request: web.Request) -> User:
        transport = request.transport
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        shown = request.headers.get("Authorization", "")
        user = auth.user(shown, peer_certificate(tls))
        if user is None and not shown and request.path in PUBLIC:
            return User(ANONYMOUS)
        if user is None:
            raise unauthorized()
        return user

    def speaking(request: web.Request) -> User:
        return access.acting(identify(request), request.headers)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        user = identify(request)
        gate.admit(user, asyncio.get_running_loop().time())
        again = partial(speaking, request)
        set_speaker(request, Speaker(access.acting(user, request.headers), again))
        return await handler(request)

    return check


def _guarded(route: web.AbstractRouteDef, access: Access) -> web.AbstractRouteDef:
    """A route whose path the user has to have a right to."""
    assert isinstance(route, web.RouteDef), "routes are given by function"
    inner = cast(Handler, route.handler)

    async def guarded(request: web.Request) -> web.StreamResponse:
        access.check_path(request)
        return await inner(request)

    return web.RouteDef(route.method, route.path, guarded, route.kwargs)


async def _review(
    reviews: Reviews, request: web.Request, kind: Kind, namespace: str
) -> web.StreamResponse:
    if request.method != "POST":
        raise method_not_allowed()
    asked = decode_object(await read_body(request), request.headers.get("Content-Type", ""))
    answered = reviews.answer(user_of(request), kind, namespace, asked)
    return json_response(encode(answered), status=201)


def _fixed_routes(openapi: OpenApi, kinds: Catalogue) -> list[web.RouteDef]:
    async def version(_: web.Request) -> web.Response:
        return _document(discovery.version())

    async def core(request: web.Request) -> web.Response:
        return _aggregated_or(request, discovery.core_versions(request.host), (), core=True)

    async def groups(request: web.Request) -> web.Response:
        legacy = discovery.group_list(kinds.custom)
        return _aggregated_or(request, legacy, kinds.custom, core=False)

    async def group(request: web.Request) -> web.Response:
        return _document(discovery.group(request.match_info["group"], kinds.custom))

    async def resources(request: web.Request) -> web.Response:
        named = request.match_info
        group_name, version_name = named.get("group", ""), named["version"]
        return _document(discovery.resource_list(group_name, version_name, kinds.custom))

    async def openapi_v2(request: web.Request) -> web.Response:
        wanted = media_type_for(request.headers.get("Accept", ""))
        if wanted == MEDIA_TYPE:
            return web.Response(body=openapi.swagger_protobuf(), content_type=wanted)
        return json_response(openapi.swagger())

    async def openapi_index(_: web.Request) -> web.Response:
        return _document(openapi.index())

    async def openapi_group(request: web.Request) -> web.Response:
        body = openapi.document(request.match_info["path"])
        if body is None:
            raise path_not_found()
        return json_response(body)

    return [
        *(web.get(path, version) for path in ("/version", "/version/")),
        web.get("/api", core),
        web.get("/apis", groups),
        web.get("/api/{version}", resources),
        web.get("/apis/{group}", group),
        web.get("/apis/{group}/{version}", resources),
        web.get("/openapi/v2", openapi_v2),
        web.get("/openapi/v3", openapi_index),
        web.get("/openapi/v3/{path:.+}", openapi_group),
    ]


def _document(document: Obj | None) -> web.Response:
    if document is None:
        raise path_not_found()
    return json_response(encode(document))


def _aggregated_or(
    request: web.Request, legacy: Obj, custom: Iterable[Kind], *, core: bool
) -> web.Response:
    version = discovery.wanted_aggregate(request.headers.get("Accept", ""))
    if version is None:
        return _document(legacy)
    body = encode(discovery.aggregated(custom, core=core, version=version))
    # Set by header: web.Response's content_type argument takes no parameters.
    content_type = discovery.aggregated_content_type(version)
    return web.Response(body=body, headers={"Content-Type": content_type, "Vary": "Accept"})
