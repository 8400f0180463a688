"""What somebody new to nodrop sees: no false URL, reasons while waiting, commands to copy."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.engine import free_port
from nodrop.model.meta import Obj
from tests.system.harness import Engine, hello, write

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap"}
NOWHERE = {"httpGet": {"path": "/nowhere", "port": 8080}, "periodSeconds": 1}


def renamed(documents: list[Obj], name: str) -> list[Obj]:
    """The same application once more, under another name."""
    text = json.dumps(documents).replace('"hello"', json.dumps(name))
    found: list[Obj] = json.loads(text)
    return found


def shell(engine: Engine, command: str) -> subprocess.CompletedProcess[str]:
    """Run a pipeline; its code is that of ``nodrop``."""
    line = f'set -o pipefail; nodrop() {{ {sys.executable} -m nodrop "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", line],
        env=dict(engine.environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_url_that_another_app_answers_is_not_printed(engine: Engine, tmp_path: Path) -> None:
    first = engine.run("up", write(tmp_path / "a.yaml", hello(replicas=1)))
    assert first.stdout.endswith(f"{engine.url}/\n")
    other = renamed(hello(replicas=1), "other")
    second = engine.run("up", write(tmp_path / "b.yaml", other))
    warning = "Ingress other: host * path / already belongs to Ingress hello (older)"
    assert f"warning: {warning}" in second.stderr
    assert engine.url not in second.stdout
    report = json.loads(engine.run("up", str(tmp_path / "b.yaml"), "--json").stdout)
    assert report["urls"] == []
    assert report["warnings"] == [warning]
    assert report["applied"][0]["object"]["kind"] in ("Deployment", "Service", "Ingress")


def test_objects_that_come_back_and_pods_that_keep_old_settings_are_told(
    engine: Engine, tmp_path: Path
) -> None:
    engine.run("up", write(tmp_path / "a.yaml", hello(replicas=1)))
    again = engine.run("up", str(tmp_path / "a.yaml"))
    assert "hint: pods of hello still run what they started with" in again.stderr
    assert "nodrop rollout restart hello" in again.stderr
    engine.kill()
    adopted = engine.run("up", str(tmp_path / "a.yaml")).stdout
    assert "1 pod had gone on without the engine: adopted, not restarted\n" in adopted
    engine.run("down")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    back = engine.run("up", write(tmp_path / "b.yaml", [config]))
    assert "brought back: hello\n" in back.stdout


def test_two_failed_rollouts_lead_back_to_the_revision_that_serves(
    engine: Engine, tmp_path: Path
) -> None:
    engine.run("up", write(tmp_path / "m.yaml", hello("v1", replicas=1)))
    for version in ("v2", "v3"):
        broken = write(tmp_path / "m.yaml", hello(version, replicas=1, probe=NOWHERE))
        done = engine.run("up", broken, "--timeout", "6", check=False)
        assert done.returncode == 1
        assert "nodrop rollout undo hello --to-revision 1" in done.stderr
    # The reason was told while it waited, not only at the end.
    assert "Unhealthy: Readiness probe failed: HTTP probe failed" in done.stdout
    assert done.stdout.count("Unhealthy") == 1
    rows = json.loads(engine.run("rollout", "history", "hello", "--json").stdout)
    assert [row["ready_pods"] for row in rows] == [1, 0, 0]
    engine.run("rollout", "undo", "hello", "--to-revision", "1")
    assert "successfully" in engine.run("rollout", "status", "hello").stdout


def test_a_first_version_that_fails_is_not_told_to_go_back(engine: Engine, tmp_path: Path) -> None:
    broken = write(tmp_path / "m.yaml", hello("v1", replicas=1, probe=NOWHERE))
    done = engine.run("up", broken, "--timeout", "4", "--json", check=False)
    assert done.returncode == 1
    (failure,) = json.loads(done.stdout)["failures"]
    assert failure["object"] == {"kind": "Deployment", "namespace": "default", "name": "hello"}
    assert isinstance(failure["lines"], list)
    plain = engine.run("rollout", "status", "hello", "--timeout", "2", check=False)
    assert "hint: no other version of hello serves" in plain.stderr


@pytest.mark.parametrize("arguments", ["-f", "", "--timestamps -f"])
def test_whoever_stops_reading_logs_ends_them_silently(
    engine: Engine, tmp_path: Path, arguments: str
) -> None:
    engine.run("up", write(tmp_path / "m.yaml", hello(replicas=2)))
    done = shell(engine, f"nodrop logs deployment/hello {arguments} | head -1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def test_ctrl_c_is_one_line_and_one_code_everywhere(engine: Engine, tmp_path: Path) -> None:
    broken = write(tmp_path / "m.yaml", hello("v1", replicas=1, probe=NOWHERE))
    told = "interrupted: all objects are applied; the rollout goes on: nodrop rollout status hello"
    assert interrupted(engine, "up", broken, after="0 of 1 updated") == told
    command = ("rollout", "status", "hello")
    assert interrupted(engine, *command, after="0 of 1") == "interrupted: the rollout goes on"
    assert interrupted(engine, "logs", "deployment/hello", "-f", after="hello") == "interrupted"


def interrupted(engine: Engine, *arguments: str, after: str) -> str:
    """What a command says on stderr when Ctrl-C comes once it has printed ``after``."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "nodrop", *arguments],
        env=dict(engine.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Who runs in the background of a shell without job control has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if after in line:
                break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    return said.strip()


def test_manifests_come_from_standard_input_too(engine: Engine, tmp_path: Path) -> None:
    write(tmp_path / "m.yaml", hello(replicas=1))
    done = shell(engine, f"nodrop up - < {tmp_path / 'm.yaml'}")
    assert done.returncode == 0, done.stderr
    assert "deployment.apps/hello created" in done.stdout
    gone = engine.run("down", str(tmp_path / "m.yaml"))
    assert "deployment.apps/hello deleted" in gone.stdout


def test_ports_that_a_running_engine_does_not_have_are_refused(
    empty_engine: Engine, tmp_path: Path
) -> None:
    file = write(tmp_path / "m.yaml", hello(replicas=1))
    done = empty_engine.run("up", file, "--http-port", "1", check=False)
    assert done.returncode == 2
    assert "the engine runs already, with other options: --http-port 1" in done.stderr
    assert json.loads(empty_engine.run("status", "--json").stdout)["deployments"] == []


def test_a_failed_start_leaves_no_keeper_behind(
    new_engine: Callable[[], Engine], tmp_path: Path
) -> None:
    """Its HTTP port is free again, and another start works."""
    engine = new_engine()
    file = write(tmp_path / "m.yaml", hello(replicas=1))
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, http = other.getsockname()[1], free_port()
        ports = ("--http-port", str(http), "--api-port", str(taken), "--bind", "127.0.0.1")
        done = engine.run("up", file, *ports, check=False)
        assert done.returncode == 3
        assert f"API port {taken}" in done.stderr
        socket.create_server(("127.0.0.1", http)).close()
    assert not engine.state.keeper_socket.exists()


async def test_status_during_the_shutdown_does_not_say_to_start_it_again(
    new_engine: Callable[[], Engine],
) -> None:
    """The lock is held and engine.json names a living process, but nobody listens any more."""
    engine = new_engine().serve()
    assert engine.process is not None
    text = engine.state.kubeconfig.read_text()
    port = str(free_port())
    engine.state.kubeconfig.write_text(text.replace(str(engine.info["api"]["port"]), port))
    done = await asyncio.to_thread(engine.run, "status", check=False)
    engine.state.kubeconfig.write_text(text)
    assert done.returncode == 3
    assert f"the engine (pid {engine.process.pid}) is shutting down" in done.stderr
    assert "nodrop serve" not in done.stderr


async def test_two_that_start_the_engine_at_once_share_it(
    new_engine: Callable[[], Engine], tmp_path: Path
) -> None:
    engine = new_engine()
    file = write(tmp_path / "m.yaml", [{**CONFIG, "metadata": {"name": "c"}}])
    start = ("up", file, "--http-port", "0", "--api-port", "0", "--bind", "127.0.0.1")
    both = await asyncio.gather(*(asyncio.to_thread(engine.run, *start) for _ in range(2)))
    assert sum("engine started" in done.stdout for done in both) == 1


def test_a_user_without_rights_and_a_namespace_that_is_not_there_are_told(engine: Engine) -> None:
    nowhere = engine.run("user", "add", "ann", "--role", "edit", "-n", "shop", check=False)
    assert nowhere.returncode == 2
    assert "error: -n shop: there is no such namespace" in nowhere.stderr
    assert "kubectl create namespace shop" in nowhere.stderr
    assert engine.run("user", "list").stdout == ""  # no token was made that nobody has seen
    powerless = engine.run("user", "add", "ann")
    assert "note: ann may do nothing yet: nodrop user add ann --role view" in powerless.stderr
    again = engine.run("user", "add", "ann", "--role", "view")
    assert again.stderr == ""
    assert engine.run("user", "list").stdout == "ann: view in all namespaces\n"


def test_a_deployment_named_as_a_pod_leads_to_its_logs(empty_engine: Engine) -> None:
    missing = empty_engine.run("logs", "hello", check=False)
    assert missing.returncode == 1
    assert "hint: of a deployment's pods: nodrop logs deployment/hello" in missing.stderr
