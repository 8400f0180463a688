"""A client for one request, with or without TLS, that trusts whatever it is shown."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import trustme
from cryptography import x509


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


def trusting(alpn: Sequence[str] = ()) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


async def ask(
    port: int,
    path: str,
    host: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    tls: bool = False,
) -> Answer:
    """One request over a connection of its own."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port,
        ssl=trusting() if tls else None, server_hostname=host if tls else None,
    )  # fmt: skip
    extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    length = "" if body is None else f"Content-Length: {len(body)}\r\n"
    method = "GET" if body is None else "POST"
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{extra}{length}Connection: close\r\n\r\n"
    writer.write(head.encode() + (body or b""))
    text = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = text.strip().split("\r\n")
    found = {name.lower(): value.strip() for name, _, value in (n.partition(":") for n in lines)}
    answer = await reader.readexactly(int(found.get("content-length", 0)))
    await _end(writer)
    return Answer(int(first.split(" ")[1]), found, answer.decode())


async def alpn_of(port: int, name: str, offered: Sequence[str]) -> str | None:
    """The protocol that is agreed on."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trusting(offered), server_hostname=name
    )
    chosen: str | None = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    await _end(writer)
    return chosen


async def shown(port: int, name: str) -> list[str]:
    """The DNS names in the certificate that a client is shown who asks for ``name``."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trusting(), server_hostname=name
    )
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    await _end(writer)
    try:
        found = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def pem_of(certificate: trustme.LeafCert) -> str:
    """Chain and key as one text."""
    chain = "".join(blob.bytes().decode() for blob in certificate.cert_chain_pems)
    return chain + certificate.private_key_pem.bytes().decode()


async def _end(writer: asyncio.StreamWriter) -> None:
    """At once: tickets that are still on their way are not waited for."""
    writer.transport.abort()
    try:
        await writer.wait_closed()
    except OSError:
        pass
