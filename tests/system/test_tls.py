"""HTTPS at a whole engine: URL, certificate, redirect, a rollout, new and broken Secrets."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable
from pathlib import Path

import trustme

from nodrop.model.kinds import EVENT, SECRET
from nodrop.model.meta import Obj, ObjectKey
from tests.system.harness import Engine, apply, hello, write
from tests.unit.proxy.support import Load
from tests.unit.proxy.tls import ask, shown

HOST = "shop.localhost"


def secret(authority: trustme.CA, *names: str) -> Obj:
    leaf = authority.issue_cert(*names)
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    data = {"tls.crt": chain, "tls.key": leaf.private_key_pem.bytes()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop"},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def with_tls(documents: list[Obj]) -> list[Obj]:
    for one in documents:
        if one["kind"] == "Ingress":
            one["spec"]["tls"] = [{"hosts": [HOST], "secretName": "shop"}]
            one["spec"]["rules"][0]["host"] = HOST
            one["metadata"]["annotations"] = {"nodrop.dev/rewrite-target": "/"}
    return documents


def ports(engine: Engine) -> tuple[int, int]:
    http, https = engine.info["http"]["ports"], engine.info["https"]["ports"]
    return http[0], https[0]


async def until(level: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(level):
            await asyncio.sleep(0.05)


async def test_https_from_the_first_request_on_and_over_a_rollout(engine: Engine) -> None:
    """S1 S2 S5: over TLS too; a certificate is replaced under load."""
    authority = trustme.CA()
    await apply(engine, [secret(authority, HOST), *with_tls(hello(replicas=2))], wait=True)
    http, https = ports(engine)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    _, writer = await asyncio.open_connection(
        "127.0.0.1", https, ssl=trusting, server_hostname=HOST
    )
    writer.transport.abort()  # verified: otherwise it would have raised
    redirected = await ask(http, "/", f"{HOST}:{http}")
    assert redirected.headers["location"] == f"https://{HOST}:{https}/"
    async with Load("127.0.0.1", https, tls=True, name=HOST, only_get=True) as load:
        await apply(engine, with_tls(hello("v2", replicas=2)), wait=True)
        await load.reached(20)
        await apply(engine, [secret(authority, HOST, "new.localhost")])
        async with asyncio.timeout(60):
            while "new.localhost" not in await shown(https, HOST):
                await asyncio.sleep(0.02)
        await load.reached(20)
    assert load.lost == []
    assert any("v2" in body for body in load.answered)


def test_up_prints_the_https_url_and_warns_of_annotations(engine: Engine, tmp_path: Path) -> None:
    documents = [secret(trustme.CA(), HOST), *with_tls(hello(replicas=1))]
    ingress = next(one for one in documents if one["kind"] == "Ingress")
    ingress["metadata"]["annotations"] |= {"nginx.ingress.kubernetes.io/auth-url": "http://x"}
    done = engine.run("up", write(tmp_path / "m.yaml", documents), "--json")
    report = json.loads(done.stdout)
    assert report["urls"] == [f"https://{HOST}:{ports(engine)[1]}/"]
    assert [warning for warning in report["warnings"] if "auth-url" in warning]


async def test_a_broken_secret_leaves_the_certificate_even_over_a_killed_engine(
    engine: Engine,
) -> None:
    await apply(engine, [secret(trustme.CA(), HOST), *with_tls(hello(replicas=1))], wait=True)
    _, https = ports(engine)
    assert await shown(https, HOST) == [HOST]
    async with engine.client() as client:
        key = ObjectKey(SECRET, "default", "shop")
        broken = await client.get(key)
        broken["data"]["tls.key"] = base64.b64encode(b"very secret nonsense").decode()
        await apply(engine, [broken])
        async with asyncio.timeout(60):
            while not (told := await reasons(engine)):
                await asyncio.sleep(0.05)
    assert "data.tls.key: not a private key in PEM; the one before stays in use" in told[0]
    assert await shown(https, HOST) == [HOST]
    engine.kill()
    assert await shown(https, HOST) == [HOST]
    await asyncio.to_thread(engine.serve)
    await until(lambda: "serving" in engine.state.engine_log.read_text())
    await apply(engine, with_tls(hello("v2", replicas=1)), wait=True)  # its table is applied
    assert await shown(https, HOST) == [HOST]
    log = engine.state.engine_log.read_text()
    assert "PRIVATE KEY" not in log
    assert "very secret" not in log


async def reasons(engine: Engine) -> list[str]:
    async with engine.client() as client:
        events = (await client.list(EVENT)).items
    return [e["message"] for e in events if e["reason"] == "CertificateUnavailable"]
