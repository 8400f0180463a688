"""Requests for objects: verbs over the registry, and their answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from aiohttp import web

from nodrop.apiserver.access import Access, user_of
from nodrop.apiserver.accounts import AccountTokens
from nodrop.apiserver.bodies import (
    BODY_LIMIT_BYTES,
    decode_object,
    decode_patch,
    doubled_fields,
    doubled_in_patch,
    too_large,
)
from nodrop.apiserver.limits import Gate
from nodrop.apiserver.logsocket import is_websocket, send_log
from nodrop.apiserver.parameters import (
    ListOptions,
    delete_options,
    eviction_options,
    flag,
    list_options,
    log_options,
    write_options,
)
from nodrop.apiserver.paths import STREAMED, Target
from nodrop.apiserver.rendering import (
    MetadataRendering,
    PlainRendering,
    Rendering,
    TableRendering,
    accepted_form,
    encode,
)
from nodrop.apiserver.streaming import StreamHandlers
from nodrop.apiserver.streams import LogSource
from nodrop.apiserver.warning_headers import warning_headers
from nodrop.apiserver.watching import LineCache, WatchStream, from_the_future
from nodrop.client.protocol import Page
from nodrop.clock import Clock
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.kinds import POD, SERVICE, SERVICEACCOUNT, Kind
from nodrop.model.meta import Obj, ObjectKey
from nodrop.registry.interface import Deleted, Registry, WriteOptions, Written

#: Kinds whose deletion answers the object, as upstream does: typed clients decode it so.
_ANSWERED_DELETED = (POD, SERVICE, SERVICEACCOUNT)


class ObjectHandlers:
    """Answers every request below ``/api/v1`` and ``/apis/<group>/<version>``."""

    def __init__(
        self,
        registry: Registry,
        *,
        access: Access,
        gate: Gate,
        logs: LogSource,
        streams: StreamHandlers,
        clock: Clock,
        accounts: AccountTokens | None = None,
    ) -> None:
        self._registry = registry
        self._gate = gate
        self._access = access
        self._streams = streams
        self._logs = logs
        self._clock = clock
        self._accounts = accounts
        self._lines = LineCache()

    async def handle(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Do what the method asks for, if the user may. Raises ApiError."""
        self._access.check_target(request, target)
        if target.subresource == "log":
            with self._access.while_allowed(request, target):
                return await self._log(request, target)
        if target.subresource in STREAMED:
            with self._lasting(request, target):
                return await self._streams.handle(request, target)
        if target.subresource == "eviction":
            return await self._evict(request, target)
        if target.subresource == "token":
            return await self._give_token(request, target)
        match request.method, bool(target.name):
            case (("GET" | "HEAD"), True):
                return await self._get(request, target)
            case (("GET" | "HEAD"), False):
                return await self._list_or_watch(request, target)
            case "POST", False:
                return await self._create(request, target)
            case "PUT", True:
                return await self._update(request, target)
            case "PATCH", True:
                return await self._patch(request, target)
            case "DELETE", True if target.subresource is None:
                return await self._delete(request, target)
            case "DELETE", False:
                return await self._delete_collection(request, target)
        raise method_not_allowed()

    # Reading

    async def _get(self, request: web.Request, target: Target) -> web.StreamResponse:
        if flag(request.query, "watch") and target.subresource is None:
            return await self._list_or_watch(request, target)
        obj = self._registry.get(target.key, subresource=target.subresource)
        if target.subresource == "scale":
            return json_response(encode(obj))
        return json_response(self._rendering(request, target.kind).one(obj))

    async def _list_or_watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        options = list_options(request.query, target.namespace)
        if target.name:
            only = ("metadata.name", target.name)
            scope = replace(options.scope, fields=(*options.scope.fields, only))
            options = replace(options, scope=scope)
        rendering = self._rendering(request, target.kind)
        if options.watch:
            stream = WatchStream(self._registry, target.kind, rendering, self._lines)
            with self._lasting(request, target):
                return await stream.run(request, options)
        return json_response(rendering.page(self._page(target.kind, options)))

    def _page(self, kind: Kind, options: ListOptions) -> Page:
        """A list as of the revision asked for; "not older than" is the latest."""
        at = options.revision if options.exact else None
        if options.revision and options.revision > self._registry.revision():
            raise from_the_future(options.revision, self._registry.revision())
        return self._registry.list(
            kind,
            options.scope,
            limit=options.limit,
            continue_token=options.continue_token,
            at=at,
        )

    async def _log(self, request: web.Request, target: Target) -> web.StreamResponse:
        if request.method != "GET":
            raise method_not_allowed()
        options = log_options(request.query)
        chunks = self._logs.open(self._registry.get(target.key), options)
        if is_websocket(request):
            return await send_log(request, chunks)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response

    # Writing

    async def _create(self, request: web.Request, target: Target) -> web.StreamResponse:
        obj = decode_object(await read_body(request), _content_type(request))
        namespace = target.namespace or ""
        if target.kind.namespaced and not namespace:
            raise method_not_allowed()
        options = self._write_options(request, target)
        doubled = await _doubled(request, target, options)
        written = self._registry.create(target.kind, namespace, obj, options)
        return self._written(request, target, written, doubled)

    async def _update(self, request: web.Request, target: Target) -> web.StreamResponse:
        obj = decode_object(await read_body(request), _content_type(request))
        options = self._write_options(request, target)
        doubled = await _doubled(request, target, options)
        written = self._registry.update(
            target.key, obj, subresource=target.subresource, options=options
        )
        return self._written(request, target, written, doubled)

    async def _patch(self, request: web.Request, target: Target) -> web.StreamResponse:
        body = await read_body(request)
        patch, patch_type = decode_patch(body, _content_type(request))
        options = self._write_options(request, target)
        doubled = doubled_in_patch(body, patch_type, options.field_validation)
        if patch_type == "apply":  # an apply has to say who it is
            options = replace(options, field_manager=request.query.get("fieldManager", ""))
            self._access.check_apply(request, target, self._registry.get)
        written = self._registry.patch(
            target.key,
            patch,
            patch_type,
            subresource=target.subresource,
            options=options,
        )
        return self._written(request, target, written, doubled)

    def _written(
        self,
        request: web.Request,
        target: Target,
        written: Written,
        warnings: tuple[str, ...] = (),
    ) -> web.StreamResponse:
        if target.subresource == "scale":
            body = encode(written.obj)
        else:
            body = self._rendering(request, target.kind).one(written.obj)
        response = json_response(body, status=201 if written.created else 200)
        for header in warning_headers((*written.warnings, *warnings)):
            response.headers.add("Warning", header)
        return response

    # Deleting

    async def _delete(self, request: web.Request, target: Target) -> web.StreamResponse:
        options = delete_options(request.query, await _delete_body(request))
        deleted = self._registry.delete(target.key, options)
        return json_response(encode(_delete_answer(target.kind, deleted)))

    async def _delete_collection(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Delete all that the selectors match; what is gone by then is no failure."""
        options = delete_options(request.query, await _delete_body(request))
        listed = list_options(request.query, target.namespace)
        page = self._registry.list(target.kind, listed.scope, limit=listed.limit)
        for obj in page.items:
            meta = obj["metadata"]
            key = ObjectKey(target.kind, meta.get("namespace", ""), meta["name"])
            try:
                self._registry.delete(key, options)
            except ApiError as error:
                if error.code != 404:
                    raise
        return json_response(self._rendering(request, target.kind).page(page))

    async def _evict(self, request: web.Request, target: Target) -> web.StreamResponse:
        if request.method != "POST":
            raise method_not_allowed()
        eviction = decode_object(await read_body(request), _content_type(request))
        options = eviction_options(request.query, eviction)
        self._registry.evict(target.key, eviction, options)
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return json_response(encode({**success, "code": 201}), status=201)

    async def _give_token(self, request: web.Request, target: Target) -> web.StreamResponse:
        if request.method != "POST" or self._accounts is None:
            raise method_not_allowed()
        asked = decode_object(await read_body(request), _content_type(request))
        return json_response(encode(self._accounts.requested(target.key, asked)), status=201)

    # Private

    @contextmanager
    def _lasting(self, request: web.Request, target: Target) -> Iterator[None]:
        """Around what goes on for as long as its client likes and its user may."""
        with self._gate.watching(user_of(request)), self._access.while_allowed(request, target):
            yield

    def _write_options(self, request: web.Request, target: Target) -> WriteOptions:
        """What a Role or a binding grants is checked when all that it will hold is known."""
        options = write_options(request.query, request.headers.get("User-Agent", ""))
        if not self._access.grants(target):
            return options
        approve = partial(self._access.check_grant, user_of(request), target.kind)
        return replace(options, approve=approve)

    def _rendering(self, request: web.Request, kind: Kind) -> Rendering:
        match accepted_form(request.headers.get("Accept", "")):
            case "plain":
                return PlainRendering(kind)
            case "metadata":
                return MetadataRendering()
            case "table":
                match request.query.get("includeObject", ""):
                    case "" | "Metadata":
                        return TableRendering(kind, "Metadata", self._clock)
                    case "None":
                        return TableRendering(kind, "None", self._clock)
                    case "Object":
                        return TableRendering(kind, "Object", self._clock)
        raise bad_request("includeObject: supported values: None, Metadata, Object")


def json_response(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def status_response(error: ApiError) -> web.Response:
    """The Status that a failed call ends in; clients wait for as long as Retry-After says."""
    response = json_response(encode(error.to_status()), status=error.code)
    if retry_after_s := error.details.get("retryAfterSeconds"):
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def method_not_allowed() -> ApiError:
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )


async def read_body(request: web.Request) -> bytes:
    """The whole body. Raises ApiError 413 beyond the limit."""
    if (request.content_length or 0) > BODY_LIMIT_BYTES:
        raise too_large()
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large() from error


# Private


def _content_type(request: web.Request) -> str:
    return request.headers.get("Content-Type", "")


async def _doubled(request: web.Request, target: Target, options: WriteOptions) -> tuple[str, ...]:
    body = await read_body(request)  # aiohttp keeps it
    return doubled_fields(target.kind, body, _content_type(request), options.field_validation)


async def _delete_body(request: web.Request) -> Obj:
    body = await read_body(request)
    return decode_object(body, _content_type(request)) if body.strip() else {}


def _delete_answer(kind: Kind, deleted: Deleted) -> Obj:
    """Objects that live on are answered as they are, the end of most others as a Status."""
    if kind in _ANSWERED_DELETED or not deleted.gone:
        return deleted.obj
    meta = deleted.obj["metadata"]
    details: Obj = {"name": meta["name"], "kind": kind.plural, "uid": meta.get("uid", "")}
    if kind.group:
        details["group"] = kind.group
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
