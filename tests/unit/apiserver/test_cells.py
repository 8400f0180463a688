from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from nodrop.apiserver.cells.column import human_duration
from nodrop.apiserver.cells.pods import pod_status
from nodrop.apiserver.tables import table
from nodrop.model import kinds
from nodrop.model.kinds import KINDS, Kind
from nodrop.model.meta import Obj, format_time

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=timezone.utc)


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def cells(kind: Kind, obj: Obj) -> dict[str, Any]:
    """Cells by column name."""
    full = {**obj, "metadata": {"name": "x", "creationTimestamp": ago(90), **obj["metadata"]}}
    shown = table(kind, [full], NOW)
    names = [column["name"] for column in shown["columnDefinitions"]]
    return dict(zip(names, shown["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (8 * 3600 + 300, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (51 * 3600, "2d3h"),
        (8 * 86400 + 3600, "8d"),
        (800 * 86400, "2y70d"),
        (3000 * 86400, "8y"),
    ],
)
def test_durations_are_written_as_kubectl_does(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def container(state: Obj, *, ready: bool = False, **more: Any) -> Obj:
    return {"name": "c", "state": state, "ready": ready, "restartCount": 0, **more}


RUNNING: Obj = {"running": {}}
DONE: Obj = {"terminated": {"exitCode": 0, "reason": "Completed"}}
READY_TRUE = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("status", "deleting", "word"),
    [
        ({"phase": "Pending"}, False, "Pending"),
        ({"phase": "Failed", "reason": "Evicted"}, False, "Evicted"),
        (
            {"phase": "Running", "containerStatuses": [container(RUNNING, ready=True)]},
            False,
            "Running",
        ),
        ({"phase": "Running", "containerStatuses": [container(RUNNING)]}, True, "Terminating"),
        ({"phase": "Succeeded", "containerStatuses": [container(DONE)]}, True, "Completed"),
        (
            {
                "phase": "Running",
                "containerStatuses": [container({"waiting": {"reason": "CrashLoopBackOff"}})],
            },
            False,
            "CrashLoopBackOff",
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": [container({"terminated": {"exitCode": 3}})],
            },
            False,
            "ExitCode:3",
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": [container({"terminated": {"exitCode": 143, "signal": 15}})],
            },
            False,
            "Signal:15",
        ),
        (
            {
                "phase": "Running",
                "conditions": READY_TRUE,
                "containerStatuses": [container(DONE), container(RUNNING, ready=True)],
            },
            False,
            "Running",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [container(DONE), container(RUNNING, ready=True)],
            },
            False,
            "NotReady",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [container(DONE), container(RUNNING)]},
            False,
            "Init:1/2",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [container({"waiting": {"reason": "CrashLoopBackOff"}})],
            },
            False,
            "Init:CrashLoopBackOff",
        ),
    ],
)
def test_the_status_cell_of_a_pod(status: Obj, deleting: bool, word: str) -> None:
    meta = {"deletionTimestamp": ago(1)} if deleting else {}
    spec = {"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "c"}]}
    assert pod_status({"metadata": meta, "spec": spec, "status": status}) == word


def test_a_pods_row() -> None:
    ended = {"terminated": {"finishedAt": ago(300), "exitCode": 1}}
    row = cells(
        kinds.POD,
        {
            "metadata": {"name": "web-1"},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n"},
            "status": {
                "phase": "Running",
                "podIP": "127.1.0.1",
                "podIPs": [{"ip": "127.1.0.1"}],
                "containerStatuses": [
                    container(RUNNING, ready=True, lastState=ended) | {"restartCount": 2},
                    container(RUNNING),
                ],
            },
        },
    )
    assert row == {
        "Name": "web-1",
        "Ready": "1/2",
        "Status": "Running",
        "Restarts": "2 (5m ago)",
        "Age": "90s",
        "IP": "127.1.0.1",
        "Node": "n",
        "Nominated Node": "<none>",
        "Readiness Gates": "<none>",
    }


def test_a_deployments_row() -> None:
    template = {"spec": {"containers": [{"name": "web", "image": "hello:v1"}]}}
    row = cells(
        kinds.DEPLOYMENT,
        {
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": template,
            },
            "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
        },
    )
    assert row == {
        "Name": "web",
        "Ready": "2/3",
        "Up-to-date": 1,
        "Available": 2,
        "Age": "90s",
        "Containers": "web",
        "Images": "hello:v1",
        "Selector": "app=web",
    }


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        (
            kinds.SERVICE,
            {
                "metadata": {},
                "spec": {
                    "type": "NodePort",
                    "clusterIP": "127.1.1.1",
                    "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}],
                },
            },
            {"Port(s)": "80:30080/TCP,53/UDP", "External-IP": "<none>", "Selector": "<none>"},
        ),
        (
            kinds.ENDPOINTSLICE,
            {
                "metadata": {},
                "ports": [{"port": 8080}],
                "endpoints": [{"addresses": [f"127.0.0.{n}"]} for n in range(1, 6)],
            },
            {"Ports": "8080", "Endpoints": "127.0.0.1,127.0.0.2,127.0.0.3 + 2 more..."},
        ),
        (
            kinds.ENDPOINTS,
            {
                "metadata": {},
                "subsets": [{"addresses": [{"ip": "127.0.0.9"}], "ports": [{"port": 80}]}],
            },
            {"Endpoints": "127.0.0.9:80"},
        ),
        (
            kinds.INGRESS,
            {
                "metadata": {},
                "spec": {"ingressClassName": "nodrop", "rules": [{"host": "a"}, {"host": "b"}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
            },
            {"Class": "nodrop", "Hosts": "a,b", "Address": "127.0.0.1", "Ports": "80"},
        ),
        (kinds.SECRET, {"metadata": {}, "data": {"a": "", "b": ""}}, {"Data": 2, "Type": "Opaque"}),
        (kinds.NAMESPACE, {"metadata": {}, "status": {"phase": "Active"}}, {"Status": "Active"}),
        (
            kinds.EVENT,
            {
                "metadata": {"name": "e"},
                "type": "Warning",
                "reason": "Unhealthy",
                "message": "no\n",
                "involvedObject": {"kind": "Pod", "name": "p"},
                "lastTimestamp": ago(10),
                "firstTimestamp": ago(20),
                "count": 4,
            },
            {"Last Seen": "10s", "First Seen": "20s", "Object": "pod/p", "Count": 4},
        ),
    ],
)
def test_cells_of_other_kinds(kind: Kind, obj: Obj, expected: Obj) -> None:
    row = cells(kind, obj)
    assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind_has_a_table_and_copes_with_bare_objects(kind: Kind) -> None:
    shown = table(kind, [{"metadata": {"name": "bare"}}], NOW)
    assert len(shown["columnDefinitions"]) == len(shown["rows"][0]["cells"]) > 1
