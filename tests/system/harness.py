"""What system tests work with: an engine as a subprocess, manifests, a load, a watcher."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from nodrop.cli.background import is_locked
from nodrop.client.cache import Cache
from nodrop.client.http import HttpClient
from nodrop.client.protocol import WatchEvent
from nodrop.model.kinds import DEPLOYMENT, ENDPOINTSLICE, EVENT, POD, REPLICASET
from nodrop.model.meta import Obj, ObjectKey, is_deleting
from nodrop.rehearse.load import Load
from nodrop.rehearse.record import Record
from nodrop.rehearse.schedule import LoadSpec, Mix, target_of
from nodrop.statedir import StateDir

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "examples" / "hello"
#: What an engine that was down says while another test's has its network.
_NETWORK_TAKEN = "is held by another engine"
_SERVE = ("--http-port", "0", "--https-port", "0", "--api-port", "0", "--bind", "127.0.0.1")


class Engine:
    """``nodrop serve`` as a subprocess, and the CLI on its state folder."""

    def __init__(self, root: Path) -> None:
        self.state = StateDir(root)
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(root),
            "LANG": "C.UTF-8",
            "NODROP_STATE": str(root),
        }

    def serve(self, *arguments: str) -> Engine:
        """Start the control plane and return once it serves."""
        assert self.process is None or self.process.poll() is not None
        self.state.root.mkdir(parents=True, exist_ok=True)
        before = self._written()
        self.process = self._start(arguments)
        while self._written() == before:
            if self.process.poll() is not None:
                said = self.state.engine_log.read_text()[-4000:]
                assert _NETWORK_TAKEN in said.rpartition("error: ")[2], said
                self.process = self._start(arguments)
            _nap()
        return self

    def _start(self, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        with self.state.engine_log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "nodrop", "serve", *_SERVE, *arguments],
                env=self._environment,
                cwd=HELLO,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """kill -9 of the control plane."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait()

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``nodrop ARGUMENTS`` to its end."""
        done = self._ran(arguments)
        while _NETWORK_TAKEN in done.stderr:
            _nap()
            done = self._ran(arguments)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def _ran(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nodrop", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def info(self) -> Obj:
        found: Obj = json.loads(self.state.engine_json.read_text())
        return found

    @property
    def url(self) -> str:
        first: str = self.info["http"]["urls"][0]
        return first

    @property
    def environment(self) -> Mapping[str, str]:
        return {**self._environment, "KUBECONFIG": str(self.state.kubeconfig)}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[HttpClient]:
        async with HttpClient.from_kubeconfig(self.state.kubeconfig) as client:
            yield client

    def close(self) -> None:
        """End everything; fails the test if something is left."""
        self.run("down", "--timeout", "60")
        if self.process is not None:
            self.process.wait(timeout=30)
        assert not is_locked(self.state)
        assert not self.state.sockets.exists()

    def _written(self) -> int:
        try:
            return self.state.engine_json.stat().st_mtime_ns
        except FileNotFoundError:
            return 0


def _nap() -> None:
    import time

    time.sleep(0.02)


# Manifests


def hello(version: str = "v1", **change: Any) -> list[Obj]:
    """examples/hello at ``version``, with changes: replicas, strategy, env, probe, spec, pod."""
    documents = [d for d in yaml.safe_load_all((HELLO / "v1.yaml").read_text()) if d]
    deployment = next(d for d in documents if d["kind"] == "Deployment")
    spec, template = deployment["spec"], deployment["spec"]["template"]["spec"]
    container = template["containers"][0]
    container["image"] = f"hello:{version}"
    container["command"] = [sys.executable, str(HELLO / "app.py")]
    container.setdefault("env", [])
    env = {"VERSION": version, **change.pop("env", {})}
    container["env"] = [e for e in container["env"] if e["name"] not in env] + [
        {"name": name, "value": value} for name, value in env.items()
    ]
    if "probe" in change:
        probe = change.pop("probe")
        container.pop("readinessProbe", None)
        if probe:
            container["readinessProbe"] = probe
    if "replicas" in change:
        spec["replicas"] = change.pop("replicas")
    spec.update(change.pop("spec", {}))
    template.update(change.pop("pod", {}))
    container.update(change.pop("container", {}))
    assert not change, change
    return documents


def write(path: Path, documents: list[Obj]) -> str:
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


# Load


class Traffic:
    """An open-loop load beside the test, and what became of every request."""

    def __init__(
        self, url: str, *, rate: float = 200, host: str = "", mix: Mix | None = None
    ) -> None:
        self.records: list[Record] = []
        spec = LoadSpec(target_of(url, host), rate, mix or Mix(), timeout_s=60)
        self._load = Load(spec, self.records.append)

    async def __aenter__(self) -> Traffic:
        self._task = asyncio.ensure_future(self._load.run())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._load.stop()
        await self._task

    async def seen(self, count: int) -> None:
        """Return once ``count`` more requests have ended."""
        target = len(self.records) + count
        while len(self.records) < target:
            await asyncio.sleep(0.02)

    @property
    def lost(self) -> list[Record]:
        return [record for record in self.records if record.lost]

    def versions(self) -> set[str]:
        return {record.version for record in self.records if not record.lost}


# Watching


class Watching:
    """All that is known of the objects, with a way to await a level and to check every step."""

    def __init__(self, client: HttpClient) -> None:
        self.cache = Cache(client, (DEPLOYMENT, REPLICASET, POD, ENDPOINTSLICE, EVENT))
        self.history: list[WatchEvent] = []
        self._changed = asyncio.Condition()
        self.cache.subscribe(self._note)
        self._checks: list[Callable[[], None]] = []
        self.broken: list[str] = []

    async def __aenter__(self) -> Watching:
        self._task = asyncio.ensure_future(self.cache.run())
        await self.cache.synced()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _note(self, event: WatchEvent, _before: Obj | None) -> None:
        self.history.append(event)
        for check in self._checks:
            try:
                check()
            except AssertionError as error:
                self.broken.append(str(error))

    def always(self, check: Callable[[], None]) -> None:
        """Run ``check`` after every event from now on; failures collect in ``broken``."""
        self._checks.append(check)

    async def until(self, level: Callable[[], object], *, timeout_s: float = 60) -> None:
        """Await a level of the cached objects."""
        async with asyncio.timeout(timeout_s):
            while not level():
                await asyncio.sleep(0.01)

    def deployment(self, name: str = "hello") -> Obj | None:
        return self.cache.get(ObjectKey(DEPLOYMENT, "default", name))

    def pods(self, version: str | None = None) -> list[Obj]:
        pods = list(self.cache.list(POD))
        if version is None:
            return pods
        return [p for p in pods if p["spec"]["containers"][0]["image"].endswith(f":{version}")]

    def rolled_out(self, version: str, *, gone: bool = True) -> bool:
        """Every replica is of ``version`` and available, and (``gone``) no other pod is left."""
        deployment = self.deployment()
        if deployment is None:
            return False
        desired = deployment["spec"]["replicas"]
        available = [p for p in self.pods(version) if is_ready(p) and not is_deleting(p)]
        if gone and len(self.pods()) != desired:
            return False
        counted: int = (deployment.get("status") or {}).get("availableReplicas", 0)
        return bool(counted == desired == len(available))


def is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def apply(engine: Engine, documents: list[Obj], *, wait: bool = False) -> None:
    """``nodrop up`` beside the running load (in a thread: it must not stop the loop)."""
    file = engine.state.root / "manifest.yaml"
    write(file, documents)
    arguments = ["up", str(file)] + ([] if wait else ["--no-wait"])
    await asyncio.to_thread(engine.run, *arguments)
