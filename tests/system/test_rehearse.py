"""``nodrop rehearse`` from end to end: the losses of a cluster, their mend, and no false pass."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from tests.system.harness import ROOT, Engine, hello, write

_FAST = ("--rate", "150", "--duration", "4")


def rehearse(tmp_path: Path, *arguments: str, probe: bool = False) -> tuple[int, dict[str, Any]]:
    """(exit code, figures) of a rehearsal; the pods of its engine are gone with it."""
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "nodrop", "rehearse", *arguments, *_FAST, "--json", str(figures)]
        + ([] if probe else ["--no-probe"]),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert figures.exists(), done.stdout + done.stderr
    return done.returncode, json.loads(figures.read_text())


def manifest(tmp_path: Path, name: str, **change: Any) -> str:
    return write(tmp_path / name, hello(**{"replicas": 2, **change}))


def test_s14_s16_a_cluster_loses_what_nodrop_does_not_and_the_hook_mends_it(
    tmp_path: Path,
) -> None:
    """S14, S16, S19: one app, both modes, and the change that the report asks for."""
    bad = manifest(tmp_path, "bad.yaml", env={"ON_SIGTERM": "exit"})
    code, figures = rehearse(tmp_path, "-f", bad, "--act", "restart")
    assert (code, figures["verdict"], figures["lost"]) == (0, "pass", 0)

    code, figures = rehearse(tmp_path, "-f", bad, "--mode", "cluster", "--act", "restart")
    assert (code, figures["verdict"]) == (1, "lost")
    assert set(figures["causes"]) <= {"503 from the proxy", "502 from the proxy", "reset"}
    blamed = {loss["phase"] for loss in figures["losses"] if loss["sureness"] == "named"}
    assert blamed
    assert blamed <= {"after SIGTERM", "ended"}
    assert "ND301" in figures["advice"][0]["rules"]

    hook = {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}
    good = manifest(tmp_path, "good.yaml", env={"ON_SIGTERM": "exit"}, container=hook)
    code, figures = rehearse(tmp_path, "-f", good, "--mode", "cluster", "--act", "restart")
    assert (code, figures["verdict"]) == (0, "pass"), figures["kinds"]


def test_every_act_ends_pods_under_load_and_reports_are_written(tmp_path: Path) -> None:
    old, new = manifest(tmp_path, "v1.yaml"), manifest(tmp_path, "v2.yaml", version="v2")
    page, junit = tmp_path / "report.html", tmp_path / "report.xml"
    code, figures = rehearse(
        tmp_path, "-f", old, "--to", new, "--html", str(page), "--junit", str(junit),
        "--post", "/echo", "--echo", "--slow", "/slow?s=0.2", "--slow-s", "0.2",
        "--echo-header", "X-Request-Id", probe=True,
    )  # fmt: skip
    assert (code, figures["verdict"]) == (0, "pass")
    assert len(figures["acts"]) == 3
    assert all(act["terminations_under_load"] for act in figures["acts"])
    assert figures["load"]["by_method"]["POST"] > 50
    assert figures["load"]["slow"] > 0
    assert {pod["version"] for pod in figures["pods"]} == {"v1", "v2"}
    assert figures["app"]["start_s"] > 0.2
    assert figures["app"]["finishes_in_flight"] is True
    assert figures["app"]["exit_code"] == 0
    assert "No request was lost" in page.read_text()
    assert 'failures="0"' in junit.read_text()


def test_websockets_are_rehearsed_too(tmp_path: Path) -> None:
    """Messages on connections that stay open: the app says good-bye on SIGTERM, none is lost."""
    command = [sys.executable, str(ROOT / "bench" / "soak_app.py")]
    app = manifest(tmp_path, "ws.yaml", container={"command": command},
                   pod={"terminationGracePeriodSeconds": 4})  # fmt: skip
    code, figures = rehearse(tmp_path, "-f", app, "--websocket", "/ws", "--act", "restart")
    assert (code, figures["verdict"]) == (0, "pass"), figures["kinds"]
    assert figures["load"]["by_method"]["WebSocket"] > 100


def test_an_app_that_never_is_ready_is_told_with_what_would_help(tmp_path: Path) -> None:
    """The end comes when patience does, with the probe's last answer and the end of the log."""
    probe = {"httpGet": {"path": "/nope", "port": "http"}, "periodSeconds": 1}
    app = manifest(tmp_path, "app.yaml", probe=probe)
    done = subprocess.run(
        [sys.executable, "-m", "nodrop", "rehearse", "-f", app, "--ready-within", "3"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Unhealthy: Readiness probe failed: HTTP probe failed with statuscode" in done.stderr
    assert "| " in done.stderr
    assert "the readinessProbe's path with 404: name one there" in done.stderr


def test_in_the_running_engine_it_disturbs_nothing(engine: Engine, tmp_path: Path) -> None:
    served = write(tmp_path / "served.yaml", hello(replicas=1))
    engine.run("up", served)
    file = write(tmp_path / "app.yaml", hello(replicas=2))
    done = engine.run("rehearse", "-f", file, "--engine", "running", "--act", "restart", *_FAST)
    assert "pass" in done.stdout
    assert "nodrop-rehearsal" not in engine.run("status").stdout


def test_another_nodrop_engine_as_the_cluster(engine: Engine, tmp_path: Path) -> None:
    """By kubeconfig context, with nothing but the Kubernetes API."""
    file = write(tmp_path / "app.yaml", hello(replicas=2))
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "nodrop", "rehearse", "-f", file, "--context", "nodrop",
         "--act", "restart", *_FAST, "--json", str(figures)],
        env={**engine.environment}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(figures.read_text())["place"] == "cluster"


def test_cluster_mode_is_refused_on_engines_that_serve(
    empty_engine: Engine, tmp_path: Path
) -> None:
    file = write(tmp_path / "app.yaml", hello())
    refused = empty_engine.run(
        "rehearse", "-f", file, "--engine", "running", "--mode", "cluster", check=False
    )
    assert refused.returncode == 2
    assert "throwaway engines only" in refused.stderr


def test_nothing_is_left_when_it_is_killed(tmp_path: Path) -> None:
    """kill -9 of the rehearsal: its engine ends by itself, with pods, proxy and keeper."""
    file = manifest(tmp_path, "app.yaml")
    with subprocess.Popen(
        [sys.executable, "-m", "nodrop", "rehearse", "-f", file, "--duration", "60", "--no-probe"],
        env={**os.environ, "TMPDIR": str(tmp_path)},  # tells its processes from other tests'
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "rolling restart" in process.stdout.readline()
        ours = _of_rehearsal(tmp_path)
        process.kill()
    assert ours
    _gone, alive = psutil.wait_procs(ours, timeout=60)
    assert alive == []


def _of_rehearsal(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if f"{folder}/nodrop-rehearsal-" in line:
            found.append(process)
    return found
