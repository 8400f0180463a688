"""Requests that become streams: exec, attach and port-forward of pods."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from aiohttp import web

from nodrop.apiserver.channels import (
    COMMAND_PROTOCOLS,
    V1,
    V4,
    V4_BASE64,
    ChannelError,
    Channels,
)
from nodrop.apiserver.command_clients import WebSocketClient, spdy_client
from nodrop.apiserver.containers import container_spec, running_container
from nodrop.apiserver.parameters import flag
from nodrop.apiserver.paths import Target
from nodrop.apiserver.portforward import (
    PROTOCOL,
    TUNNEL_PROTOCOL,
    OpenPort,
    TcpStreams,
    serve_spdy,
)
from nodrop.apiserver.portforward_channels import serve_channels
from nodrop.apiserver.remotecommand import ClientGone, serve_command
from nodrop.apiserver.spdy_connection import Duplex, SpdyConnection
from nodrop.apiserver.streams import Executor, OutputStream, Session
from nodrop.apiserver.upgrades import (
    SpdyDuplex,
    WebSocketDuplex,
    agreed_protocol,
    close_websocket,
    offers_protocols,
    spdy_protocol,
    upgrade_to_websocket,
    wants_websocket,
)
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.meta import Obj, uid_of
from nodrop.registry.interface import Registry

_HANG_UP_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class CommandOptions:
    """corev1.PodExecOptions and PodAttachOptions."""

    container: str
    command: tuple[str, ...]
    stdin: bool
    outputs: tuple[OutputStream, ...]
    tty: bool

    @property
    def spdy_streams(self) -> frozenset[str]:
        """The streams that a SPDY client opens for them."""
        names = {"error", *self.outputs}
        return frozenset(names | ({"stdin"} if self.stdin else set()) | self._resize)

    @property
    def _resize(self) -> set[str]:
        return {"resize"} if self.tty else set()


def command_options(query: Mapping[str, str], command: tuple[str, ...]) -> CommandOptions:
    """Raises ApiError 400 when nothing would be connected. A terminal has one output."""
    stdin, tty = flag(query, "stdin"), flag(query, "tty")
    outputs: list[OutputStream] = []
    if flag(query, "stdout"):
        outputs.append("stdout")
    if flag(query, "stderr") and not tty:
        outputs.append("stderr")
    if not stdin and not outputs:
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    return CommandOptions(query.get("container", ""), command, stdin, tuple(outputs), tty)


class StreamHandlers:
    """Answers exec, attach and port-forward of pods."""

    def __init__(self, registry: Registry, *, executor: Executor) -> None:
        self._registry = registry
        self._executor = executor

    async def handle(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Upgrade the connection and stay until the stream is over. Raises ApiError."""
        if request.method not in ("GET", "POST"):
            raise ApiError(
                405, "MethodNotAllowed", "streams of pods are opened by GET or POST requests"
            )
        pod = self._registry.get(target.key)
        if target.subresource == "portforward":
            return await _port_forward(request, pod)
        options = command_options(request.query, tuple(request.query.getall("command", ())))
        session = self._session(target.subresource == "exec", pod, options)
        if wants_websocket(request):
            return await _command_over_websocket(request, session, options)
        return await _command_over_spdy(request, session, options)

    def _session(
        self, is_exec: bool, pod: Obj, options: CommandOptions
    ) -> AbstractAsyncContextManager[Session]:
        container, restart_count = running_container(pod, options.container)
        if not is_exec:
            spec = container_spec(pod, container)
            if options.stdin and not spec.get("stdin"):
                raise bad_request(
                    f'container "{container}" takes no input: stdin is not enabled in its spec '
                    "(stdin: true); attach without stdin, or exec a command"
                )
            return self._executor.attach(
                uid_of(pod),
                container,
                restart_count,
                stdin=options.stdin,
                once=bool(spec.get("stdinOnce")),
                tty=bool(spec.get("tty")),
            )
        if not options.command:
            raise bad_request("you must specify at least one command for the container")
        return self._executor.exec(
            uid_of(pod),
            container,
            restart_count,
            options.command,
            stdin=options.stdin,
            tty=options.tty,
        )


# Private


async def _command_over_websocket(
    request: web.Request, opening: AbstractAsyncContextManager[Session], options: CommandOptions
) -> web.StreamResponse:
    protocol = agreed_protocol(request, COMMAND_PROTOCOLS) if offers_protocols(request) else ""
    async with opening as session:
        socket = await upgrade_to_websocket(request, protocol)
        client = WebSocketClient(socket, Channels(protocol or V1))
        await client.greet()
        await serve_command(session, client, options.outputs)
        return socket


async def _command_over_spdy(
    request: web.Request, opening: AbstractAsyncContextManager[Session], options: CommandOptions
) -> web.StreamResponse:
    protocol = spdy_protocol(request, (V4,))
    async with opening as session:
        duplex = await SpdyDuplex.upgrade(request, protocol)
        connection = SpdyConnection(duplex)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(_until_gone(connection))
                client = await spdy_client(connection, options.spdy_streams)
                if client is not None:
                    await serve_command(session, client, options.outputs)
                    # To hang up with input unread would take the Status back from the client.
                    await asyncio.wait((running,), timeout=_HANG_UP_WITHIN_S)
                running.cancel()
        except* (ConnectionError, ChannelError, ApiError, TimeoutError):
            pass  # it has gone, or broke the protocol: hanging up is all that can be said
        return duplex.response


async def _until_gone(connection: SpdyConnection) -> None:
    await connection.run()
    raise ClientGone


async def _port_forward(request: web.Request, pod: Obj) -> web.StreamResponse:
    open_port, name = _port_opener(pod), uid_of(pod)
    if not wants_websocket(request):
        duplex = await SpdyDuplex.upgrade(request, spdy_protocol(request, (PROTOCOL,)))
        await _forward_spdy(duplex, name, open_port)
        return duplex.response
    offered = offers_protocols(request)
    ours = (TUNNEL_PROTOCOL, V4, V4_BASE64)
    protocol = agreed_protocol(request, ours) if offered else ""
    if protocol != TUNNEL_PROTOCOL:
        return await serve_channels(request, protocol, pod=name, open_port=open_port)
    socket = await upgrade_to_websocket(request, protocol)
    await _forward_spdy(WebSocketDuplex(socket), name, open_port)
    await close_websocket(socket)
    return socket


async def _forward_spdy(duplex: Duplex, pod: str, open_port: OpenPort) -> None:
    try:
        await serve_spdy(SpdyConnection(duplex), pod, open_port)
    except* ConnectionError:
        pass  # the client has gone


def _port_opener(pod: Obj) -> OpenPort:
    """Connects to the pod's own address. Raises ApiError 400 while it has none."""
    address, phase = pod["status"].get("podIP", ""), pod["status"].get("phase", "Pending")
    if not address or phase != "Running":
        raise bad_request(
            f"unable to forward port because pod is not running. Current status={phase}"
        )

    async def open_port(port: int) -> TcpStreams:
        try:
            return await asyncio.open_connection(address, port)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise OSError(error.errno, f"connecting to {address}:{port}: {why}") from error

    return open_port
