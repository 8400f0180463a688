"""Clients that mean harm, through the whole engine: refused or made harmless, others unaffected.

A pod that records every byte tells what came through. Beside every attack well-behaved clients send
GETs and POSTs, and all of them are answered.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from nodrop.model.kinds import EVENT
from nodrop.model.meta import Obj
from tests.system.harness import apply
from tests.system.site import HOST, Recorded, Site, ingress, statuses

_ANSWER_S = 60.0


def request(path: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    head = "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {HOST}", *lines))
    return head.encode("latin-1") + b"\r\n\r\n" + body


def post(path: str, *lines: str, body: bytes) -> bytes:
    return request(path, *lines, method="POST", body=body)


# What two readers could read differently: refused, or passed on in one reading only.

INNER = b"GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"
CHUNK = b"%x\r\n%s\r\n" % (len(INNER), INNER)
REFUSED, HARMLESS = {400}, {200, 400, 501}

SMUGGLING = {
    # RFC 9112, 6.3: chunked wins, or it is refused. INNER is in the body by either reading.
    "CL.TE": (post("/x", f"Content-Length: {len(CHUNK) + 5}", "Transfer-Encoding: chunked",
                   body=CHUNK + b"0\r\n\r\n"), HARMLESS),
    # By its Content-Length the body ends early: then INNER would be a request.
    "TE.CL": (post("/x", "Content-Length: 4", "Transfer-Encoding: chunked",
                   body=CHUNK + b"0\r\n\r\n"), HARMLESS),
    "two lengths": (post("/x", "Content-Length: 0", f"Content-Length: {len(INNER)}", body=INNER),
                    REFUSED),
    "a list of lengths": (post("/x", f"Content-Length: 0, {len(INNER)}", body=INNER), REFUSED),
    "plus sign": (post("/x", f"Content-Length: +{len(INNER)}", body=INNER), REFUSED),
    "negative length": (post("/x", "Content-Length: -1", body=INNER), REFUSED),
    "hex length": (post("/x", "Content-Length: 0x10", body=INNER), REFUSED),
    "length too large": (post("/x", "Content-Length: 99999999999999999999", body=INNER), REFUSED),
    "obs-fold": (post("/x", "X-A: b", " Content-Length: 0", f"Content-Length: {len(INNER)}",
                      body=INNER), HARMLESS),
    "folded coding": (post("/x", "Transfer-Encoding:", " chunked", body=CHUNK + b"0\r\n\r\n"),
                      HARMLESS),
    "space before colon": (post("/x", f"Content-Length : {len(INNER)}", body=INNER), REFUSED),
    "tab before colon": (post("/x", "Transfer-Encoding\t: chunked", body=CHUNK + b"0\r\n\r\n"),
                         REFUSED),
    "xchunked": (post("/x", "Transfer-Encoding: xchunked", body=CHUNK + b"0\r\n\r\n"), HARMLESS),
    "chunked, identity": (post("/x", "Transfer-Encoding: chunked, identity",
                               body=CHUNK + b"0\r\n\r\n"), HARMLESS),
    "two codings": (post("/x", "Transfer-Encoding: chunked", "Transfer-Encoding: identity",
                         body=CHUNK + b"0\r\n\r\n"), HARMLESS),
    "chunked in 1.0": (post("/x", "Transfer-Encoding: chunked", f"Content-Length: {len(INNER)}",
                            body=INNER).replace(b"HTTP/1.1", b"HTTP/1.0", 1), HARMLESS),
    "coding with a control": (post("/x", "Transfer-Encoding: \x0bchunked",
                                   body=CHUNK + b"0\r\n\r\n"), HARMLESS),
    "chunk size with a sign": (post("/x", "Transfer-Encoding: chunked",
                                    body=b"+" + CHUNK + b"0\r\n\r\n"), REFUSED),
    "chunk size 0x": (post("/x", "Transfer-Encoding: chunked", body=b"0x" + CHUNK + b"0\r\n\r\n"),
                      REFUSED),
    "chunk size overflows": (post("/x", "Transfer-Encoding: chunked",
                                  body=b"fffffffffffffffff\r\n" + INNER), REFUSED),
    "chunk without its end": (post("/x", "Transfer-Encoding: chunked",
                                   body=b"1\r\nAA\r\n0\r\n\r\n" + INNER), REFUSED),
    "chunk size is a word": (post("/x", "Transfer-Encoding: chunked", body=b"zz\r\n" + INNER),
                             REFUSED),
    "bare LF": (b"POST /x HTTP/1.1\nHost: shop.test\nContent-Length: 0\n\n" + INNER, HARMLESS),
    "bare CR": (b"POST /x HTTP/1.1\r\nHost: shop.test\r\nX: a\rContent-Length: 5\r\n\r\n" + INNER,
                REFUSED),
    "NUL in a value": (request("/x", "X-A: a\0b"), REFUSED),
    "NUL in a name": (request("/x", "X\0A: b"), REFUSED),
    "body of a GET": (request("/x", f"Content-Length: {len(INNER)}", body=INNER), HARMLESS),
    "unknown version": (request("/x").replace(b"HTTP/1.1", b"HTTP/3.7"), HARMLESS),
    "header in the target": (b"GET /x HTTP/1.1\r\nX: y HTTP/1.1\r\nHost: shop.test\r\n\r\n",
                             HARMLESS),
}  # fmt: skip


async def test_no_request_is_smuggled(site: Site) -> None:
    """As many requests reach the pod as are answered, each framed in one way only."""
    wrong: dict[str, str] = {}
    async with site.bystanders():
        for name, (raw, allowed) in SMUGGLING.items():
            mark = f"/x-{name.encode().hex()}"
            before = len(site.recorded("/smuggled"))
            answered = await site.send(raw.replace(b" /x ", f" {mark} ".encode(), 1))
            through = site.recorded(mark)
            inner = len(site.recorded("/smuggled")) - before
            if trouble := smuggled(answered, through, inner, allowed):
                wrong[name] = trouble
    assert wrong == {}


def smuggled(answered: list[int], through: list[Recorded], inner: int, allowed: set[int]) -> str:
    """What is wrong with what became of an attack, or an empty string."""
    if not answered or answered[0] not in allowed:
        return f"answered {answered}"
    if answered.count(200) != len(through) + inner:
        return f"{answered} to {len(through)} + {inner} requests"
    for each in through:
        lengths, codings = each.values("content-length"), each.values("transfer-encoding")
        if len(lengths) + len(codings) > 1 or codings not in ([], ["chunked"]):
            return f"passed on with {lengths} and {codings}"
        if any(name != name.strip() for name in each.names()):
            return f"passed on {each.head!r}"
    return ""


MALFORMED = {
    "no version": b"GET /\r\n\r\n",
    "HTTP/0.9": b"GET /\n",
    "version in words": b"GET / HTTPS/1.1\r\nHost: shop.test\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "control in the method": b"G\x01T / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "control in the target": b"GET /\x01 HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "bytes above ASCII": "GET /ü HTTP/1.1\r\nHost: shop.test\r\n\r\n".encode(),
    "two hosts": b"GET / HTTP/1.1\r\nHost: shop.test\r\nHost: other.test\r\n\r\n",
    "target of another host": b"GET http://other.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: shop.test\r\nnothing\r\n\r\n",
    "nameless header": b"GET / HTTP/1.1\r\nHost: shop.test\r\n: x\r\n\r\n",
    "TLS to the plain port": bytes.fromhex("16030100c8010000c40303") + bytes(190),
    "noise": bytes(range(256)) * 8,
    "too many headers": request("/", *(f"X-{n}: {n}" for n in range(500))),
    "huge header": request("/", "X-A: " + "a" * 100_000),
    "huge target": request("/" + "a" * 100_000),
    "huge cookie": request("/", *["Cookie: " + "c" * 4000] * 30),
}  # fmt: skip


async def test_malformed_requests_are_refused(site: Site) -> None:
    """4xx, or cut where not even a request can be seen; no pod sees any of it."""
    wrong = {}
    before = len(site.recorded())
    async with site.bystanders():
        for name, raw in MALFORMED.items():
            answered = await site.send(raw)
            if any(not 400 <= status < 500 for status in answered):
                wrong[name] = answered
    assert wrong == {}
    seen = site.recorded()[before:]
    assert {each.head.split("\r\n")[0] for each in seen} == {"GET / HTTP/1.1"}  # the bystanders
    assert {len(each.values("X-Request-Id")) for each in seen} == {1}


FORGED = (
    "X-Forwarded-For: 10.9.9.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: bank.test",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Prefix: /admin",
    "x-FORWARDED-server: bank.test",
    "Forwarded: for=10.9.9.9;proto=https",
    "X_Forwarded_For: 10.9.9.9",
    "X-Real-IP: 10.9.9.9",
    "X_Real_IP: 10.9.9.9",
    "X-Forwarded_For: 10.9.9.9",
    "X_Forwarded-For: 10.9.9.9",
    "X-Real_IP: 10.9.9.9",
)


async def test_forged_forwarded_headers_never_reach_a_pod(site: Site) -> None:
    """The pod sees one X-Forwarded-For, of the real client, however the forgery is written."""
    variants = {
        "/once": FORGED,
        "/twice": (*FORGED, *FORGED),
        "/hop": (*FORGED, "Connection: keep-alive, X-Forwarded-For, X-Forwarded-Proto"),
    }
    async with site.bystanders():
        for path, lines in variants.items():
            assert await site.send(request(path, *lines)) == [200]
    for path in variants:
        (seen,) = site.recorded(f"GET {path} ")
        assert seen.values("X-Forwarded-For") == ["127.0.0.1"]
        assert seen.values("X-Forwarded-Proto") == ["http"]
        assert "10.9.9.9" not in seen.head
        assert "bank.test" not in seen.head


TRAVERSAL = (
    "/public/../admin",
    "/%2e%2e/admin",
    "/x/%2e%2e/admin",
    "/x/..%2fadmin",
    "/./admin",
    "//admin",
    "/%61dmin",
    "/admi%6e",
    "/ADMIN",
    "/adminx",
    "/admin%2f",
    "/x/..;/admin",
    "/\\admin",
)


async def test_no_path_leads_where_its_letters_do_not(site: Site) -> None:
    """Only a path that begins with /admin/, letter by letter, reaches what lives there."""
    async with site.bystanders():
        for path in TRAVERSAL:
            answered = await site.send(request(path))
            assert answered in ([200], [400], [403], [404]), (path, answered)
        for path in ("/admin", "/admin/", "/admin/x", "/admin?x"):
            assert await site.send(request(path)) == [200]
    admin = [each.path for each in site.recorded() if each.pod == "admin"]
    assert admin == ["/admin", "/admin/", "/admin/x", "/admin?x"]


async def test_a_wrong_host_is_nobodys(site: Site) -> None:
    raw = request("/host")
    async with site.bystanders():
        for host in (b"other.test", b"shop.test.evil.test", b"xshop.test", b"127.0.0.1", b"*", b""):
            answered = await site.send(raw.replace(b"shop.test", host))
            assert answered in ([400], [404], [421]), (host, answered)
        for host in (b"shop.test", b"SHOP.test", b"shop.test:8080", b"shop.test."):
            assert await site.send(raw.replace(b"shop.test", host)) == [200], host
    assert len(site.recorded("GET /host ")) == 4


async def test_slow_headers_are_ended_and_hold_nobody_up(site: Site) -> None:
    """Slowloris: 300 clients that send a header line now and then get 408 or are cut in time."""

    async def slow(number: int) -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        try:
            writer.write(request(f"/slow-{number}")[:-2])
            answer = asyncio.ensure_future(reader.read())
            while not answer.done():
                writer.write(b"X-A: b\r\n")
                await asyncio.wait([answer], timeout=2)
            return statuses(await answer)
        except ConnectionError:
            return []
        finally:
            writer.close()

    async with site.bystanders() as traffic, asyncio.timeout(_ANSWER_S):
        found = await asyncio.gather(*(slow(number) for number in range(300)))
        assert len(traffic.records) > 100
    assert {tuple(answer) for answer in found} <= {(408,), ()}
    assert site.recorded("/slow-") == []


async def test_two_thousand_idle_connections_are_just_that(site: Site) -> None:
    """Half of them have sent nothing, half have had an answer; 1,000 requests pass beside them."""
    with many_files(5000):
        async with site.bystanders() as traffic:
            idle = []
            for number in range(2000):
                reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
                idle.append(writer)
                if number < 1000:  # at once: who says nothing for long is told 408
                    writer.write(request("/idle"))
                    assert b"200 OK" in await reader.readuntil(b"ok")
            before = len(traffic.records)
            await traffic.seen(500)
            assert len(traffic.records) >= before + 500
            for writer in idle:
                writer.close()


@contextmanager
def many_files(count: int) -> Iterator[None]:
    """So many open files for the test itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"the limit of open files is {hard}: {count} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_huge_body_costs_the_proxy_no_memory(site: Site) -> None:
    """100 MB pass through; the proxy keeps what fits its buffers."""
    (main, *_) = site.engine.info["pids"]["proxy"]
    before = psutil.Process(main).memory_info().rss
    piece, count = bytes(1 << 20), 100
    async with site.bystanders():
        head = post("/huge", f"Content-Length: {len(piece) * count}", body=b"")
        assert await site.send(head, *[piece] * count) == [200]
        grown = psutil.Process(main).memory_info().rss - before
    (seen,) = site.recorded("/huge")
    assert seen.body_bytes == len(piece) * count
    assert grown < 30_000_000


async def test_a_body_beyond_the_ingress_limit_is_refused_unread(site: Site) -> None:
    """413 for what announces more than proxy-body-size; no pod sees it."""
    limit = {"nodrop.dev/proxy-body-size": "1m"}
    soon, large = (post(path, "Content-Length: 1048577", body=b"") for path in ("/soon", "/large"))
    await apply(site.engine, [ingress(limit)], wait=True)
    async with site.bystanders():
        async with asyncio.timeout(60):  # nodrop up does not wait for what an Ingress says
            while await site.send(soon) != [413]:
                pass
        assert await site.send(large, ends=False) == [413]
        body = bytes(1048576)
        assert await site.send(post("/fits", f"Content-Length: {len(body)}", body=body)) == [200]
    await apply(site.engine, [ingress()], wait=True)
    assert site.recorded("/large") == []


def named(name: str, host: str, port: int) -> list[Obj]:
    """An ExternalName, and an Ingress that sends ``/NAME`` of any host there."""
    target = {"service": {"name": name, "port": {"number": port}}}
    rule = {"path": f"/{name}", "pathType": "Prefix", "backend": target}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": host},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"rules": [{"host": "names.test", "http": {"paths": [rule]}}]},
        },
    ]


async def test_names_lead_to_pods_and_other_programs_and_never_back_here(site: Site) -> None:
    """ExternalName: a circle is refused with an Event; what has no address is 503 by itself."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def ask(path: str) -> list[int]:
        head = f"GET {path} HTTP/1.1\r\nHost: names.test\r\nConnection: close\r\n\r\n"
        return await site.send(head.encode())

    async def events() -> str:
        async with site.engine.client() as client:
            found = (await client.list(EVENT)).items
        return "\n".join(one["message"] for one in found if "ExternalName" in one["reason"])

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    other: int = server.sockets[0].getsockname()[1]
    async with site.bystanders():
        documents = [
            *named("pods", "public.default.svc", 80),
            *named("other", "localhost", other),
            *named("circle", "localhost", site.port),
            *named("nobody", "nobody.invalid", 80),
        ]
        await apply(site.engine, documents)
        async with asyncio.timeout(180):
            while await ask("/pods") != [200] or await ask("/other") != [200]:
                await asyncio.sleep(0.05)
            while await ask("/circle") != [503] or await ask("/nobody") != [503]:
                await asyncio.sleep(0.05)
            while "round in a circle" not in (said := await events()) or "nobody" not in said:
                await asyncio.sleep(0.05)
    server.close()
    assert [one.path for one in site.recorded("GET /pods ")][-1:] == ["/pods"]
