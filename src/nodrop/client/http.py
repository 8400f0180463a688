"""HttpClient: the Client protocol over HTTPS, for nodrop's API server and for real clusters."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

import aiohttp
import msgspec

from nodrop.client.actions import Action, Create, Delete, Emit, Patch, Update
from nodrop.client.answers import (
    RawEvent,
    as_watch_event,
    complete,
    failure_of,
    if_it_lives_on,
    lines_of,
    raw_event,
)
from nodrop.client.kubeconfig import Endpoint, read_kubeconfig
from nodrop.client.protocol import ALL, Page, Scope, WatchEvent
from nodrop.client.recorder import EventRecorder
from nodrop.client.urls import collection_path, object_path, scope_query
from nodrop.clock import Clock, SystemClock
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.kinds import Kind, kind_of
from nodrop.model.meta import Obj, ObjectKey, Revision, key_of

_TIMEOUT_S = 30.0
_WATCH_FOR_S = 300
_RETRY_FIRST_S, _RETRY_MOST_S = 0.1, 2.0
#: How long a watch tries to reach a server that has gone: longer than an engine's restart takes.
_PATIENCE_S = 30.0
_PAGE_SIZE = 500
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"


class Unreachable(ApiError):
    """No answer from the server: connection refused, name unknown, bad certificate, time out.

    It is an ApiError of code 0, so that whoever only knows the Client protocol can retry.
    """

    def __init__(self, url: str, cause: BaseException) -> None:
        self.url = url
        why = str(cause) or type(cause).__name__
        super().__init__(0, "Unreachable", f"cannot reach {url}: {why}")


class HttpClient:
    """The Kubernetes API at one endpoint. Close it, or use it as an async context manager.

    Every failure is an ApiError rebuilt from the server's Status, or Unreachable.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        component: str = "nodrop",
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """``component`` is the source of the Events that this client records."""
        self._endpoint = endpoint
        self._tls = endpoint.ssl_context()
        self._session: aiohttp.ClientSession | None = None
        self._recorder = EventRecorder(component, clock or SystemClock(), rng or random.Random())

    @classmethod
    def from_kubeconfig(cls, path: Path, context: str | None = None) -> HttpClient:
        """Raises KubeconfigError."""
        return cls(read_kubeconfig(path, context))

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
            await asyncio.sleep(0)  # aborted connections are closed in the loop's next turn
            await asyncio.sleep(0)

    @property
    def endpoint(self) -> Endpoint:
        return self._endpoint

    # The Client protocol

    async def get(self, key: ObjectKey) -> Obj:
        return await self._call("GET", object_path(key))

    async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
        """All objects in the scope, fetched page by page at one revision."""
        query = {**scope_query(scope), "limit": str(_PAGE_SIZE)}
        items: list[Obj] = []
        while True:
            answer = await self._call("GET", collection_path(kind, scope.namespace), query)
            items += [complete(kind, obj) for obj in answer.get("items") or ()]
            token = answer["metadata"].get("continue", "")
            if not token:
                revision = Revision(int(answer["metadata"]["resourceVersion"]))
                return Page(tuple(items), revision)
            query["continue"] = token

    async def watch(
        self, kind: Kind, scope: Scope = ALL, *, since: Revision
    ) -> AsyncGenerator[WatchEvent]:
        """Changes after ``since``, across ends of the connection.

        A connection that ends is opened again at the last revision seen. Raises ApiError 410
        when that is too old, and Unreachable when the server stays away for 30 s.
        """
        patience = _Patience()
        while True:
            try:
                async for event in self._watch_once(kind, scope, since):
                    patience.reset()
                    since = event.revision
                    if event.type != "BOOKMARK":
                        yield as_watch_event(event)
                patience.reset()
            except Unreachable as error:
                await patience.wait(error)

    async def apply(self, action: Action) -> Obj | None:
        if isinstance(action, Emit):
            await self._recorder.emit(action, self._write)
            return None
        return await self._write(action)

    # Beyond it, for the CLI

    async def create(self, obj: Obj, *, query: Mapping[str, str] | None = None) -> Obj:
        """POST, with query parameters such as ``dryRun`` and ``fieldValidation``."""
        namespace = (obj.get("metadata") or {}).get("namespace")
        return await self._call("POST", collection_path(_served(obj), namespace), query, obj)

    async def evict(self, pod: ObjectKey) -> None:
        """Ask for a pod's eviction, as ``kubectl drain`` does. Raises ApiError 429 when a
        PodDisruptionBudget doesn't allow it now."""
        metadata = {"name": pod.name, "namespace": pod.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        await self._call("POST", object_path(pod, "eviction"), None, eviction)

    async def patch_strategic(
        self, key: ObjectKey, patch: Obj, *, query: Mapping[str, str] | None = None
    ) -> Obj:
        """PATCH with a strategic merge patch, as ``kubectl apply`` and ``set image`` send it."""
        return await self._call("PATCH", object_path(key), query, patch, _STRATEGIC)

    async def patch_json(self, key: ObjectKey, operations: Sequence[Obj]) -> Obj:
        """PATCH with a JSON patch (RFC 6902), as ``kubectl rollout undo`` sends it."""
        media = "application/json-patch+json"
        return await self._call("PATCH", object_path(key), None, operations, media)

    async def scale(self, key: ObjectKey, replicas: int) -> Obj:
        """Set ``spec.replicas`` through /scale; returns the Scale."""
        patch = {"spec": {"replicas": replicas}}
        return await self._call("PATCH", object_path(key, "scale"), None, patch, _MERGE)

    async def version(self) -> Obj:
        return await self._call("GET", "/version")

    async def get_raw(self, path: str) -> Obj:
        """GET any path that answers with a JSON object."""
        return await self._call("GET", path)

    async def logs(
        self,
        pod: ObjectKey,
        *,
        container: str = "",
        follow: bool = False,
        previous: bool = False,
        timestamps: bool = False,
        since_s: int | None = None,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
    ) -> AsyncGenerator[bytes]:
        """Chunks of a container's log. With ``follow`` it ends when the container has ended.

        Whoever stops reading early closes it (``contextlib.aclosing``).
        """
        asked: dict[str, object] = {
            "container": container or None,
            "follow": "true" if follow else None,
            "previous": "true" if previous else None,
            "timestamps": "true" if timestamps else None,
            "sinceSeconds": since_s,
            "tailLines": tail_lines,
            "limitBytes": limit_bytes,
        }
        query = {name: str(value) for name, value in asked.items() if value is not None}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_S)
        async with self._answer(
            "GET", object_path(pod, "log"), query=query, timeout=timeout
        ) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    # Private

    async def _write(self, action: Create | Update | Patch | Delete) -> Obj | None:
        match action:
            case Create(obj):
                return await self.create(obj)
            case Update(obj, subresource):
                _served(obj)
                return await self._call("PUT", object_path(key_of(obj), subresource), None, obj)
            case Patch(key, patch, subresource):
                path = object_path(key, subresource)
                return await self._call("PATCH", path, None, patch, _MERGE)
            case Delete():
                answer = await self._call(
                    "DELETE", object_path(action.key), None, _delete_body(action)
                )
                return if_it_lives_on(answer)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        media_type: str = "application/json",
    ) -> Obj:
        async with self._answer(
            method, path, query=query, body=body, media_type=media_type
        ) as response:
            answer: Obj = msgspec.json.decode(await response.read())
            return answer

    async def _watch_once(
        self, kind: Kind, scope: Scope, since: Revision
    ) -> AsyncIterator[RawEvent]:
        query = {
            **scope_query(scope),
            "watch": "true",
            "resourceVersion": str(since),
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_FOR_S),
        }
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_TIMEOUT_S, sock_read=_WATCH_FOR_S + _TIMEOUT_S
        )
        path = collection_path(kind, scope.namespace)
        async with self._answer("GET", path, query=query, timeout=timeout) as response:
            async for line in lines_of(response.content.iter_any()):
                yield raw_event(kind, line)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        media_type: str = "application/json",
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; its failures become ApiErrors, also those while the answer is read."""
        # From a file object: aiohttp warns of large bytes, which it would send in one go.
        data = None if body is None else io.BytesIO(msgspec.json.encode(body))
        headers = {"Content-Type": media_type} if data is not None else {}
        url = f"{self._endpoint.server}{path}"
        try:
            async with self._open_session().request(
                method,
                url,
                params=query,
                data=data,
                headers=headers,
                timeout=timeout or aiohttp.ClientTimeout(total=_TIMEOUT_S),
                server_hostname=self._endpoint.server_name,
            ) as response:
                if response.status >= 400:
                    raise failure_of(response.status, await response.read())
                try:
                    yield response
                except BaseException:
                    _abort(response)
                    raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(self._endpoint.server, error) from error

    def _open_session(self) -> aiohttp.ClientSession:
        """The session; made at the first call, because it needs a running loop."""
        if self._session is None:
            headers = {"Accept": "application/json", "User-Agent": "nodrop"}
            if self._endpoint.token:
                headers["Authorization"] = f"Bearer {self._endpoint.token}"
            # No limit: every watch holds a connection.
            connector = aiohttp.TCPConnector(ssl=self._tls or True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self._session


# Private


def _abort(response: aiohttp.ClientResponse) -> None:
    """Cut the connection of an answer that nobody reads to its end (a watch that is over).

    Closing would begin a TLS good-bye that the loop may not live to see.
    """
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


class _Patience:
    """Waits between attempts, longer each time, until 30 s have gone by without success."""

    def __init__(self) -> None:
        self._next_s = _RETRY_FIRST_S
        self._since: float | None = None

    def reset(self) -> None:
        self._next_s = _RETRY_FIRST_S
        self._since = None

    async def wait(self, error: Unreachable) -> None:
        """Wait, or raise ``error`` when it has been long enough."""
        now = asyncio.get_running_loop().time()
        self._since = now if self._since is None else self._since
        if now - self._since > _PATIENCE_S:
            raise error
        await asyncio.sleep(self._next_s)
        self._next_s = min(_RETRY_MOST_S, self._next_s * 2)


def _delete_body(action: Delete) -> Obj:
    body: Obj = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": action.propagation,
    }
    if action.grace_period_s is not None:
        body["gracePeriodSeconds"] = action.grace_period_s
    preconditions: Obj = {}
    if action.uid is not None:
        preconditions["uid"] = action.uid
    if action.revision is not None:
        preconditions["resourceVersion"] = str(action.revision)
    if preconditions:
        body["preconditions"] = preconditions
    return body


def _served(obj: Obj) -> Kind:
    kind = kind_of(obj.get("apiVersion", ""), obj.get("kind", ""))
    if kind is None:
        raise bad_request(f"{obj.get('apiVersion')} {obj.get('kind')} is not a served kind")
    return kind
