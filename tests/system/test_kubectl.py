"""The main job with a real kubectl, in every version that this machine has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.harness import HELLO, Engine


def kubectls() -> list[Path]:
    """The locked kubectl beside this Python, and 1.29 and 1.33 where the machine has them."""
    found = [Path(sys.executable).with_name("kubectl")]
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    if installed := shutil.which("kubectl", path="/usr/bin:/usr/local/bin"):
        folders.append(Path(installed).resolve().parent)
    for version in ("kubectl.1.29", "kubectl.1.33"):
        found += [folder / version for folder in folders if (folder / version).exists()][:1]
    return found


@pytest.mark.parametrize("kubectl", kubectls(), ids=lambda path: path.name)
def test_the_main_job_with_kubectl(engine: Engine, kubectl: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [kubectl, *arguments],
            env={**engine.environment, "KUBECACHEDIR": str(tmp_path)},
            cwd=HELLO,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    applied = run("apply", "-f", "v1.yaml")
    assert "deployment.apps/hello created" in applied
    assert 'deployment "hello" successfully rolled out' in run(
        "rollout", "status", "deployment/hello"
    )
    assert "unchanged" in run("apply", "-f", "v1.yaml")
    kinds = "deploy,rs,pods,svc,endpointslices,ingress"
    shown = run("get", kinds, "-o", "wide")
    assert re.search(r"deployment.apps/hello +4/4 +4 +4 ", shown), shown
    assert len(re.findall(r"pod/hello-\S+ +1/1 +Running +0 ", shown)) == 4
    assert re.search(r"ingress.networking.k8s.io/hello +nodrop|<none>", shown)
    run("set", "image", "deployment/hello", "hello=hello:v2")
    run("rollout", "status", "deployment/hello")
    images = run("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert "hello:v2" in images
    assert "REVISION" in run("rollout", "history", "deployment/hello")
    run("rollout", "undo", "deployment/hello")
    run("rollout", "status", "deployment/hello")
    assert "listening on 0.0.0.0:8080" in run("logs", "deployment/hello")
    described = run("describe", "deployment", "hello")
    assert "ScalingReplicaSet" in described
    pod = run("get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
    assert "Started" in run("describe", "pod", pod)
    run("scale", "deployment/hello", "--replicas=2")
    run("rollout", "status", "deployment/hello")
    run("rollout", "restart", "deployment/hello")
    run("rollout", "pause", "deployment/hello")
    run("rollout", "resume", "deployment/hello")
    run("rollout", "status", "deployment/hello")
    run("wait", "--for=condition=Available", "deployment/hello", "--timeout=30s")
    run("delete", "-f", "v1.yaml", "--wait=true")
    run("wait", "--for=delete", "pod", "-l", "app=hello", "--timeout=60s")
    assert "hello" not in run("get", "deploy,rs,pods,svc,ingress", "-o", "name")


def test_nothing_is_answered_without_credentials(engine: Engine) -> None:
    import ssl
    import urllib.error
    import urllib.request

    url = engine.info["api"]["url"]
    context = ssl.create_default_context(cafile=str(engine.state.pki / "ca.crt"))
    for path in ("/version", "/api/v1/pods", "/healthz"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url + path, context=context, timeout=10)
    assert engine.state.kubeconfig.stat().st_mode & 0o777 == 0o600
