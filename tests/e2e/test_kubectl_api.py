"""kubectl against the API server and registry alone; tests write what controllers would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodrop.apiserver.users import Users
from nodrop.cli.user import binding_of
from nodrop.client.kubeconfig import render_kubeconfig
from nodrop.clock import SystemClock
from nodrop.model.kinds import DEPLOYMENT, EVENT, POD, REPLICASET, ROLEBINDING
from nodrop.model.meta import Obj, ObjectKey, controller_reference
from nodrop.registry.interface import DeleteOptions
from tests.e2e.conftest import Kubectl, rows
from tests.serving import Served, serving

WEB = ObjectKey(DEPLOYMENT, "default", "web")
EVENT_V1: Obj = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "regarding": {"kind": "Pod", "name": "web", "namespace": "default"},
    "eventTime": "2026-11-23T10:00:00.000000Z",
    "reportingController": "example.com/operator",
    "reportingInstance": "operator-1",
    "action": "Binding",
    "reason": "Bound",
    "note": "it is bound",
    "type": "Normal",
}
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: hello:v1
        command: [python3, app.py]
        ports: [{containerPort: 8080, name: http}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: nodrop
  rules:
  - host: web.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {colour: blue}
"""


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "state") as running:
        yield running


@pytest.fixture
def kubectl(kubectl_binary: Path, served: Served, tmp_path: Path) -> Kubectl:
    return Kubectl(kubectl_binary, tmp_path, served.state.kubeconfig)


def deployment(served: Served) -> Obj:
    return served.registry.get(WEB)


def replicaset(served: Served, revision: int, image: str) -> Obj:
    """A ReplicaSet of the Deployment, as its controller would make it."""
    owner = deployment(served)
    template = json.loads(json.dumps(owner["spec"]["template"]))
    template["metadata"]["labels"]["pod-template-hash"] = f"h{revision}"
    template["spec"]["containers"][0]["image"] = image
    labels = template["metadata"]["labels"]
    obj: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"web-h{revision}",
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [controller_reference(owner)],
        },
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }
    return served.registry.create(REPLICASET, "default", obj).obj


def observe(served: Served, *, available: int, revision: int = 1) -> None:
    """Write the status of a Deployment whose controller has seen its latest spec."""
    noted = {"metadata": {"annotations": {"deployment.kubernetes.io/revision": str(revision)}}}
    obj = served.registry.patch(WEB, noted, "merge").obj
    status = {
        "observedGeneration": obj["metadata"]["generation"],
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": available,
        "availableReplicas": available,
        "conditions": [
            {
                "type": "Available",
                "status": "True" if available == 2 else "False",
                "reason": "MinimumReplicasAvailable",
                "message": "",
            },
            {
                "type": "Progressing",
                "status": "True",
                "reason": "NewReplicaSetAvailable" if available == 2 else "ReplicaSetUpdated",
                "message": "",
            },
        ],
    }
    served.registry.patch(WEB, {"status": status}, "merge", subresource="status")


def running_pod(served: Served, name: str, *log_lines: str) -> Obj:
    """A ready pod with a log."""
    obj: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "hello:v1", "command": ["x"]}]},
    }
    pod = served.registry.create(POD, "default", obj).obj
    status = {
        "phase": "Running",
        "podIP": "127.201.0.9",
        "podIPs": [{"ip": "127.201.0.9"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "web",
                "image": "hello:v1",
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": "2026-11-23T10:00:00Z"}},
            }
        ],
    }
    key = ObjectKey(POD, "default", name)
    served.registry.patch(key, {"status": status}, "merge", subresource="status")
    folder = served.state.pods / pod["metadata"]["uid"] / "logs" / "web"
    folder.mkdir(parents=True)
    stored = "".join(f"2026-11-23T10:00:00Z stdout F {line}\n" for line in log_lines)
    (folder / "0.log").write_text(stored)
    return pod


async def test_apply_creates_changes_and_keeps(kubectl: Kubectl, served: Served) -> None:
    created = await kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert created.splitlines() == [
        "deployment.apps/web created",
        "service/web created",
        "ingress.networking.k8s.io/web created",
        "configmap/web created",
    ]
    again = await kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert all(line.endswith(" unchanged") for line in again.splitlines())
    changed = MANIFEST.replace("hello:v1", "hello:v2").replace("replicas: 2", "replicas: 3")
    told = await kubectl("apply", "-f", "-", stdin=changed)
    assert "deployment.apps/web configured" in told
    spec = deployment(served)["spec"]
    assert spec["replicas"] == 3
    container = spec["template"]["spec"]["containers"][0]
    assert (container["image"], container["command"]) == ("hello:v2", ["python3", "app.py"])


async def test_apply_says_what_is_wrong(kubectl: Kubectl, served: Served) -> None:
    said = await kubectl.ask("apply", "-f", "-", stdin=MANIFEST.replace("replicas:", "replica:"))
    assert said.code != 0
    assert 'unknown field "spec.replica"' in said.err
    both_zero = MANIFEST.replace(
        "replicas: 2", "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}"
    )
    said = await kubectl.ask("apply", "-f", "-", stdin=both_zero)
    assert 'The Deployment "web" is invalid: spec.strategy.rollingUpdate.maxUnavailable' in said.err


async def test_dry_run_on_the_server_and_diff_store_nothing(
    kubectl: Kubectl, served: Served
) -> None:
    told = await kubectl("apply", "--dry-run=server", "-f", "-", stdin=MANIFEST)
    assert "deployment.apps/web created (server dry run)" in told
    assert "No resources found" in (await kubectl.ask("get", "deploy")).err
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    changed = MANIFEST.replace("hello:v1", "hello:v2")
    said = await kubectl.ask("diff", "-f", "-", stdin=changed)
    assert said.code == 1
    assert "+      - image: hello:v2" in said.out or "image: hello:v2" in said.out
    assert deployment(served)["spec"]["template"]["spec"]["containers"][0]["image"] == "hello:v1"


async def test_get_shows_tables_and_objects(kubectl: Kubectl, served: Served) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    running_pod(served, "web-1", "hello")
    everything = "deploy,rs,pods,svc,endpointslices,endpoints,ingress,cm,secrets,ns,nodes,events"
    await kubectl("get", everything, "-A", "-o", "wide")
    wide = (await kubectl("get", "pods", "-o", "wide")).splitlines()
    assert wide[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert wide[1].split()[:4] == ["web-1", "1/1", "Running", "0"]
    assert "deployment.apps/web" in await kubectl("get", "all")
    as_json = json.loads(await kubectl("get", "deploy", "web", "-o", "json"))
    assert as_json["spec"]["replicas"] == 2
    assert "replicas: 2" in await kubectl("get", "deploy", "web", "-o", "yaml")
    ip = "jsonpath={.items[0].status.podIP}"
    assert await kubectl("get", "pods", "-l", "app=web", "-o", ip) == "127.201.0.9"
    assert (await kubectl.ask("get", "pods", "-l", "app!=web")).out == ""
    running = await kubectl("get", "pods", "--field-selector", "status.phase=Running", "-o", "name")
    assert running.strip() == "pod/web-1"
    assert rows(await kubectl("get", "ing"))[0][:3] == ["web", "nodrop", "web.test"]


async def test_get_watches(kubectl: Kubectl, served: Served) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    process = await kubectl.start("get", "deploy", "-w")
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert (await process.stdout.readline()).split()[0] == b"NAME"
            assert (await process.stdout.readline()).split()[:2] == [b"web", b"0/2"]
            observe(served, available=1)
            # The annotation that observe() writes first is an event of its own.
            assert (await process.stdout.readline()).split()[:2] == [b"web", b"0/2"]
            assert (await process.stdout.readline()).split()[:2] == [b"web", b"1/2"]
    finally:
        process.kill()
        await process.communicate()


async def test_describe_shows_objects_with_their_events(kubectl: Kubectl, served: Served) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    pod = running_pod(served, "web-1")
    event: Obj = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web-1.1", "namespace": "default"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "default",
            "name": "web-1",
            "uid": pod["metadata"]["uid"],
        },
        "type": "Warning",
        "reason": "Unhealthy",
        "message": "Readiness probe failed: no",
        "firstTimestamp": "2026-11-23T10:00:00Z",
        "lastTimestamp": "2026-11-23T10:00:00Z",
        "count": 3,
        "source": {"component": "nodrop"},
    }
    served.registry.create(EVENT, "default", event)
    shown = await kubectl("describe", "pod", "web-1")
    assert "Readiness probe failed: no" in shown
    assert "127.201.0.9" in shown
    for kind in ("deploy/web", "svc/web", "ing/web", "cm/web", "ns/default", "node/localhost"):
        assert "Name:" in await kubectl("describe", kind)
    assert "Readiness probe failed" in await kubectl("events")


async def test_scale_label_annotate_and_set_image(kubectl: Kubectl, served: Served) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    await kubectl("scale", "deploy/web", "--replicas=5")
    await kubectl("label", "deploy/web", "tier=front")
    await kubectl("annotate", "deploy/web", "note=hello")
    await kubectl("set", "image", "deploy/web", "web=hello:v3")
    await kubectl("set", "env", "deploy/web", "COLOUR=red")
    await kubectl("patch", "deploy/web", "-p", '{"spec":{"minReadySeconds":4}}')
    obj = deployment(served)
    assert (obj["spec"]["replicas"], obj["spec"]["minReadySeconds"]) == (5, 4)
    assert obj["metadata"]["labels"] == {"tier": "front"}
    container = obj["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "hello:v3"
    assert container["env"] == [{"name": "COLOUR", "value": "red"}]
    assert container["ports"][0]["containerPort"] == 8080


async def test_rollout_pause_resume_restart(kubectl: Kubectl, served: Served) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    await kubectl("rollout", "pause", "deploy/web")
    assert deployment(served)["spec"]["paused"] is True
    await kubectl("rollout", "resume", "deploy/web")
    assert not deployment(served)["spec"].get("paused")
    await kubectl("rollout", "restart", "deploy/web")
    annotations = deployment(served)["spec"]["template"]["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in annotations


async def test_rollout_history_and_undo(kubectl: Kubectl, served: Served) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    replicaset(served, 1, "hello:v1")
    await kubectl("set", "image", "deploy/web", "web=hello:v2")
    replicaset(served, 2, "hello:v2")
    observe(served, available=2, revision=2)
    history = await kubectl("rollout", "history", "deploy/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    one = await kubectl("rollout", "history", "deploy/web", "--revision=1")
    assert "hello:v1" in one
    await kubectl("rollout", "undo", "deploy/web")
    template = deployment(served)["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "hello:v1"
    assert "pod-template-hash" not in template["metadata"]["labels"]


async def test_rollout_status_and_wait_follow_the_status(kubectl: Kubectl, served: Served) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    observe(served, available=1)
    async with asyncio.TaskGroup() as group:
        process = await kubectl.start("rollout", "status", "deploy/web", "--timeout=60s")
        waiting = group.create_task(
            kubectl("wait", "deploy/web", "--for=condition=Available", "--timeout=60s")
        )
        assert process.stdout is not None
        assert b"1 of 2 updated replicas are available" in await process.stdout.readline()
        observe(served, available=2)
        out, _ = await process.communicate()
    assert b"successfully rolled out" in out
    assert process.returncode == 0
    assert "condition met" in waiting.result()
    told = await kubectl(
        "wait", "deploy/web", "--for=jsonpath={.status.readyReplicas}=2", "--timeout=60s"
    )
    assert "condition met" in told


async def test_logs(kubectl: Kubectl, served: Served) -> None:
    running_pod(served, "web-1", "one", "two", "three")
    assert await kubectl("logs", "web-1") == "one\ntwo\nthree\n"
    assert await kubectl("logs", "web-1", "--tail=1") == "three\n"
    stamped = await kubectl("logs", "web-1", "--timestamps", "--tail=1")
    assert stamped == "2026-11-23T10:00:00Z three\n"
    assert await kubectl("logs", "web-1", "--since=1s", "--limit-bytes=3") in ("", "one")
    assert await kubectl("logs", "-l", "app=web", "--prefix") == (
        "[pod/web-1/web] one\n[pod/web-1/web] two\n[pod/web-1/web] three\n"
    )
    said = await kubectl.ask("logs", "web-1", "--previous")
    assert 'previous terminated container "web" in pod "web-1" not found' in said.err


async def test_logs_are_followed(kubectl: Kubectl, served: Served) -> None:
    pod = running_pod(served, "web-1", "one")
    process = await kubectl.start("logs", "-f", "web-1")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"one\n"
            path = served.state.pods / pod["metadata"]["uid"] / "logs" / "web" / "0.log"
            with path.open("a") as log:
                log.write("2026-11-23T10:00:01Z stdout F two\n")
            assert await process.stdout.readline() == b"two\n"
            key = ObjectKey(POD, "default", "web-1")
            served.registry.delete(key, DeleteOptions(grace_period_s=0))
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_delete(kubectl: Kubectl, served: Served) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    told = await kubectl("delete", "-f", "-", stdin=MANIFEST)
    assert 'deployment.apps "web" deleted' in told
    assert (await kubectl.ask("get", "deploy,svc,ing,cm")).out == ""
    running_pod(served, "web-1")
    running_pod(served, "web-2")
    await kubectl("delete", "pods", "-l", "app=web", "--now", "--wait=false")
    await kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    assert "NotFound" in (await kubectl.ask("get", "pod", "web-1")).err


async def test_typed_commands(kubectl: Kubectl, served: Served) -> None:
    """Most of these send protobuf; which ones depends on the release."""
    assert "namespace/team created" in await kubectl("create", "namespace", "team")
    created = await kubectl(
        *("create", "deployment", "api", "--image=api:v1", "--replicas=0", "--port=8080"),
        *("-n", "team", "--", "python3", "app.py"),
    )
    assert "deployment.apps/api created" in created
    made = served.registry.get(ObjectKey(DEPLOYMENT, "team", "api"))
    assert made["spec"]["replicas"] == 0
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"] == [{"containerPort": 8080, "protocol": "TCP"}]
    assert container["command"] == ["python3", "app.py"]
    await kubectl("create", "configmap", "settings", "--from-literal=colour=blue")
    assert await kubectl("get", "cm/settings", "-o", "jsonpath={.data.colour}") == "blue"
    await kubectl("create", "secret", "generic", "login", "--from-literal=user=eve")
    assert await kubectl("get", "secret/login", "-o", "jsonpath={.data.user}") == "ZXZl"
    await kubectl("create", "service", "clusterip", "api", "--tcp=80:8080")
    assert rows(await kubectl("get", "svc/api"))[0][4] == "80/TCP"
    await kubectl("create", "ingress", "api", "--rule=api.test/*=api:80", "--class=nodrop")
    assert rows(await kubectl("get", "ing/api"))[0][2] == "api.test"
    await kubectl("create", "pdb", "api", "--selector=app=api", "--min-available=50%")
    assert rows(await kubectl("get", "pdb/api"))[0][1] == "50%"


async def test_explain_knows_the_schema(kubectl: Kubectl, served: Served) -> None:
    shown = await kubectl("explain", "deployment.spec.strategy")
    assert "rollingUpdate" in shown


async def test_create_replace_and_get_raw(kubectl: Kubectl, served: Served) -> None:
    await kubectl("create", "-f", "-", stdin=MANIFEST)
    said = await kubectl.ask("create", "-f", "-", stdin=MANIFEST)
    assert "AlreadyExists" in said.err
    await kubectl("replace", "-f", "-", stdin=MANIFEST.replace("blue", "green"))
    assert await kubectl("get", "cm/web", "-o", "jsonpath={.data.colour}") == "green"
    assert await kubectl("get", "--raw", "/readyz") == "ok"
    assert "Kubernetes control plane" in await kubectl("cluster-info")


async def test_server_side_apply(kubectl: Kubectl, served: Served) -> None:
    """Create, apply again, conflict, force, and over an object that was applied client-side."""
    said = await kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    assert said.count("serverside-applied") == 4
    before = served.registry.get(WEB)
    await kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    assert served.registry.get(WEB) == before
    other = MANIFEST.replace("replicas: 2", "replicas: 3")
    refused = await kubectl.ask(
        *("apply", "--server-side", "--field-manager=other", "-f", "-"), stdin=other
    )
    assert refused.code == 1
    assert 'conflict with "kubectl": .spec.replicas' in refused.err
    forced = ("--field-manager=other", "--force-conflicts", "-f", "-")
    await kubectl("apply", "--server-side", *forced, stdin=other)
    assert served.registry.get(WEB)["spec"]["replicas"] == 3
    shown = await kubectl("get", "deploy/web", "-o", "yaml", "--show-managed-fields")
    assert "manager: other" in shown
    assert "managedFields" not in await kubectl("get", "deploy/web", "-o", "yaml")


async def test_from_client_side_to_server_side_apply(kubectl: Kubectl, served: Served) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    fewer = MANIFEST.replace("data: {colour: blue}", "data: {shape: round}")
    said = await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=fewer)
    assert said.count("serverside-applied") == 4
    assert (await kubectl("get", "cm/web", "-o", "jsonpath={.data.shape}")) == "round"
    assert "serverside-applied" in await kubectl(
        *("apply", "--server-side", "--dry-run=server", "-f", "-"), stdin=fewer
    )


async def test_events_by_their_newer_version(kubectl: Kubectl, served: Served) -> None:
    """events.k8s.io/v1 shows what v1 has, and the other way round."""
    event = {**EVENT_V1, "metadata": {"name": "e", "namespace": "default"}}
    await kubectl("create", "-f", "-", stdin=json.dumps(event))
    [row] = rows(await kubectl("get", "events.events.k8s.io"))
    assert row[1:] == ["Normal", "Bound", "pod/web", "it", "is", "bound"]
    path = "jsonpath={.items[*].note}{.items[*].deprecatedCount}"
    assert await kubectl("get", "events.v1.events.k8s.io", "-o", path) == "it is bound"
    assert await kubectl("get", "events", "-o", "jsonpath={.items[*].message}") == "it is bound"
    assert "it is bound" in await kubectl("events")
    assert "regarding" in await kubectl("explain", "events", "--api-version=events.k8s.io/v1")
    assert "involvedObject" in await kubectl("explain", "events")


async def test_auth(kubectl: Kubectl, served: Served, kubectl_binary: Path, tmp_path: Path) -> None:
    """can-i and whoami, for the owner and for a user with the role view."""
    assert (await kubectl("auth", "can-i", "create", "deployments")).strip() == "yes"
    token = Users(served.state.users).add("ann", (), SystemClock().now())
    served.registry.create(ROLEBINDING, "default", binding_of("ann", "view", "default"))
    text = render_kubeconfig(server=served.url, ca_pem=served.pki.ca_cert.read_text(), token=token)
    (tmp_path / "ann").write_text(text)
    ann = Kubectl(kubectl_binary, tmp_path, tmp_path / "ann")
    assert (await ann.ask("auth", "can-i", "create", "deployments")).out.startswith("no")
    assert (await ann("auth", "can-i", "list", "pods")).strip() == "yes"
    assert "nodrop-admin" in await kubectl("auth", "whoami")
    assert "ann" in await ann("auth", "whoami")
    refused = await ann.ask("create", "configmap", "mine")
    assert 'User "ann" cannot' in refused.err
    listed = await ann("auth", "can-i", "--list")
    assert "deployments.apps" in listed
    assert "selfsubjectreviews.authentication.k8s.io" in listed
    assert "cluster-admin" in await kubectl("get", "clusterroles")
    assert "ClusterRole/view" in await kubectl("get", "rolebindings")


async def test_roles_by_command(kubectl: Kubectl, served: Served) -> None:
    await kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    await kubectl("create", "rolebinding", "readers", "--role=reader", "--user=bob")
    described = await kubectl("describe", "role", "reader")
    assert "pods" in described
    assert "Role/reader" in await kubectl("get", "rolebinding", "readers")
    await kubectl("create", "serviceaccount", "bot")
    assert "bot" in await kubectl("get", "sa")


async def test_openapi_v2_is_there_for_those_who_ask_and_kubectl_goes_on_as_before(
    kubectl: Kubectl, served: Served
) -> None:
    told = json.loads(await kubectl("get", "--raw", "/openapi/v2"))
    assert told["swagger"] == "2.0"
    assert "strategy" in await kubectl("explain", "deployment.spec.strategy", "--recursive")
    await kubectl("create", "configmap", "one", "--from-literal=a=b")
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    assert deployment(served)["spec"]["replicas"] == 2
    bad = MANIFEST.replace("replicas: 2", "replicaz: 2")
    refused = await kubectl.ask("apply", "-f", "-", stdin=bad)
    assert refused.code == 1
    assert "spec.replicaz" in refused.err
