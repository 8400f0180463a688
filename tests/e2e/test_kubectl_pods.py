"""kubectl looks at what only pods of their own show: init containers, sidecars, volumes."""

from __future__ import annotations

from tests.e2e.conftest import Kubectl

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue}
---
apiVersion: v1
kind: Pod
metadata: {name: shop}
spec:
  terminationGracePeriodSeconds: 5
  volumes:
  - {name: settings, configMap: {name: settings}}
  - {name: work, emptyDir: {}}
  initContainers:
  - name: prepare
    image: prepare:v1
    command: [sh, -c, "cp /etc/nodrop-e2e/colour /nodrop-e2e/work/; echo prepared"]
    volumeMounts:
    - {name: settings, mountPath: /etc/nodrop-e2e}
    - {name: work, mountPath: /nodrop-e2e/work}
  - name: helper
    image: helper:v1
    restartPolicy: Always
    command: [sleep, "1000"]
    volumeMounts:
    - {name: work, mountPath: /nodrop-e2e/work, readOnly: true}
  containers:
  - name: app
    image: app:v1
    command: [sh, -c, "cat /nodrop-e2e/work/colour; echo; touch /nodrop-e2e/up/up; exec sleep 99"]
    readinessProbe: {exec: {command: [test, -e, /nodrop-e2e/up/up]}, periodSeconds: 1}
    volumeMounts:
    - {name: work, mountPath: /nodrop-e2e/work}
    - {name: work, mountPath: /nodrop-e2e/up, subPath: up}
"""


async def test_init_containers_sidecars_and_volumes(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    await kubectl("wait", "pod/shop", "--for=condition=Ready", "--timeout=60s")
    [_, row] = (await kubectl("get", "pod", "shop")).splitlines()
    assert row.split()[1:4] == ["2/2", "Running", "0"]
    assert await kubectl("logs", "shop", "-c", "prepare") == "prepared\n"
    assert await kubectl("logs", "shop", "-c", "app") == "blue\n"
    told = await kubectl("describe", "pod", "shop")
    assert "Completed" in told
    assert "/nodrop-e2e/work from work (ro)" in told
    await kubectl("set", "image", "pod/shop", "app=app:v2")
    await kubectl(
        "wait", "pod/shop", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1",
        "--timeout=60s",
    )  # fmt: skip
    await kubectl("wait", "pod/shop", "--for=condition=Ready", "--timeout=60s")
    await kubectl("delete", "pod", "shop", "--timeout=60s")
