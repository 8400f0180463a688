"""HTTP probes: GET as upstream's kubelet does it."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
from yarl import URL

from nodrop.agent.plan.probes import HttpTarget
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.probers.wording import is_refused, transport_failure

_MOST_REDIRECTS = 10
_MOST_BODY_BYTES = 10 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_HEADERS = {"User-Agent": "kube-probe/1.33", "Accept": "*/*"}
_NOTHING_ADDED = ("Accept", "Accept-Encoding", "User-Agent")


class HttpProber:
    """One session for all probes: a new connection each time, no proxy, TLS unverified."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def probe(self, target: HttpTarget, *, timeout_s: float) -> ProbeResult:
        """Success for 200–399; a redirect to another host counts as success with a warning."""
        refused = False
        try:
            async with asyncio.timeout(timeout_s):
                return await self._get(target)
        except TimeoutError:
            why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = transport_failure(error, f"{_bracketed(target.host)}:{target.port}")
            refused = is_refused(error) and _is_about(error, target)
        why = f'Get "{shown_url(target)}": {why}'
        return ProbeResult("failure", why, answered=False, refused=refused)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _get(self, target: HttpTarget) -> ProbeResult:
        url, headers = url_of(target), headers_of(target)
        for _ in range(_MOST_REDIRECTS):
            async with self._open().get(
                url,
                headers=headers,
                allow_redirects=False,
                skip_auto_headers=_NOTHING_ADDED,
                ssl=_UNVERIFIED if url.scheme == "https" else True,
            ) as answer:
                body = await answer.content.read(_MOST_BODY_BYTES)
                where = answer.headers.get("Location")
                if answer.status not in _REDIRECTS or not where:
                    return _verdict(answer.status)
            there = url.join(URL(where))
            if there.host != url.host:
                return ProbeResult("success", warning=_redirected(body))
            url = there
        why = f"stopped after {_MOST_REDIRECTS} redirects"
        return ProbeResult("failure", f'Get "{url}": {why}')

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def url_of(target: HttpTarget) -> URL:
    return URL(shown_url(target))


def shown_url(target: HttpTarget) -> str:
    """The URL with its port, a default one too, as upstream writes it in messages."""
    return f"{target.scheme.lower()}://{_bracketed(target.host)}:{target.port}{target.path}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def headers_of(target: HttpTarget) -> dict[str, str]:
    """Upstream's headers, overridden by the probe's own; an empty Accept removes it."""
    headers = dict(_DEFAULT_HEADERS)
    for name, value in target.headers:
        for known in [known for known in headers if known.lower() == name.lower()]:
            del headers[known]
        headers[name] = value
    return {name: value for name, value in headers.items() if value or name.lower() != "accept"}


def _verdict(status: int) -> ProbeResult:
    if 200 <= status < 400:
        return SUCCESS
    return ProbeResult("failure", f"HTTP probe failed with statuscode: {status}")


def _redirected(body: bytes) -> str:
    """Upstream's words for a redirect that leads to another host."""
    return f"Probe terminated redirects, Response body: {body.decode(errors='replace')}"


def _is_about(error: Exception, target: HttpTarget) -> bool:
    """Not about the place that a redirect led to."""
    return isinstance(error, aiohttp.ClientConnectorError) and error.port == target.port


def _unverified() -> ssl.SSLContext:
    """Probes don't check certificates: a pod's own address is in none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_UNVERIFIED = _unverified()
