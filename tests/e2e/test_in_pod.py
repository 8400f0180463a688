"""A pod speaks to the API as its service account, as an operator in a cluster does."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.e2e.conftest import KUBECTLS, Kubectl
from tests.system.harness import Engine

PROGRAM = Path(__file__).parent / "clients/in_pod.py"
MANIFEST = f"""
apiVersion: v1
kind: Pod
metadata: {{name: operator}}
spec:
  serviceAccountName: robot
  restartPolicy: Never
  containers:
  - name: operator
    image: operator:v1
    command: [{sys.executable}, {PROGRAM}]
"""


async def test_a_program_in_a_pod_finds_the_api(engine: Engine, tmp_path: Path) -> None:
    kubectl = Kubectl(next(iter(KUBECTLS.values())), tmp_path, engine.state.kubeconfig)
    await kubectl("create", "serviceaccount", "robot")
    await kubectl("create", "role", "teller", "--verb=create", "--resource=configmaps")
    await kubectl("create", "rolebinding", "t", "--role=teller", "--serviceaccount=default:robot")
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    done = "--for=jsonpath={.status.phase}=Succeeded"
    said = await kubectl.ask("wait", "pod/operator", done, "--timeout=60s")
    assert said.code == 0, await kubectl("logs", "operator")
    told = await kubectl("get", "cm", "told", "-o", "jsonpath={.data.who} {.data.refused}")
    assert told == "system:serviceaccount:default:robot 403"
    described = await kubectl("describe", "pod", "operator")
    assert "/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-" in described
    held = [path.read_text() for path in engine.state.pods.glob("*/volumes/*/token")]
    token = await kubectl("create", "token", "robot", "--duration=10m")
    assert len(held) == 1
    assert held[0] != token
    who = await kubectl("auth", "whoami", "--as=system:serviceaccount:default:robot")
    assert "system:serviceaccounts:default" in who
