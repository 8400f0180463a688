"""A transcript: what a person types in an afternoon, each command with the shape of its answer.

One engine a kubectl for the whole transcript, because the commands build on each other. What does
not end by itself has tests of its own: ``get -w`` and ``logs -f`` in test_kubectl_api.py,
``port-forward`` and ``attach`` in test_kubectl_streams.py, a real ``drain`` in
test_kubectl_drain.py.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.e2e.conftest import Kubectl, Said
from tests.system.harness import Engine, hello, write

#: All pods of a version at once: what is looked at here is the answers, not the steps between.
AT_ONCE = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%"}}}
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: hello}}
data: {colour: COLOUR}
"""
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.n}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer, minimum: 1, description: How large it is}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
---
"""
WIDGET = """
apiVersion: example.com/v1
kind: Widget
metadata: {name: one}
spec: {size: 3}
"""
BAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: bad}
spec: {replicaz: 1}
"""

#: Asked until it fits: the engine measures what pods use every few seconds, and collects what has
#: lost its owner in its own time.
LATER = ("top pods -l app=hello", "get rs,pods,endpointslices,ingress -l app=hello -o name")

#: (command, regular expression that its output has to match, exit code). What it says on both
#: channels counts; FOLDER is the folder with the files above.
Case = tuple[str, str, int]
TRANSCRIPT: tuple[Case, ...] = (
    # Where am I?
    ("version", r"Server Version: v1\.\d+", 0),
    ("cluster-info", r"Kubernetes control plane.* is running at .*https://127", 0),
    ("config view", r"current-context: nodrop[\s\S]*kind: Config", 0),
    ("config current-context", r"^nodrop", 0),
    ("api-resources", r"deployments +deploy +apps/v1 +true +Deployment", 0),
    ("api-resources --namespaced=false -o name", r"^namespaces$", 0),
    ("api-versions", r"^apps/v1$", 0),
    ("auth can-i create deployments", r"^yes$", 0),
    ("auth whoami", r"Username", 0),
    ("get nodes -o wide", r"Ready", 0),
    ("get namespaces", r"default +Active", 0),
    ("get pods", r"No resources found in default namespace", 0),
    ("get --raw /readyz", r"^ok$", 0),
    ("get --raw /readyz?verbose", r"(?s)\[\+\]ping ok.*\[\+\]proxy ok.*readyz check passed", 0),
    # What are these fields?
    ("explain deployment.spec.strategy", r"FIELD|KIND: +Deployment[\s\S]*rollingUpdate", 0),
    ("explain deployment.spec.minReadySeconds", r"Minimum number of seconds", 0),
    ("explain pod.spec.containers --recursive", r"readinessProbe[\s\S]*httpGet", 0),
    ("explain deployment.spec.nonsense", r"field \"nonsense\" does not exist", 1),
    # Creating
    ("create namespace other", r"namespace/other created", 0),
    ("create namespace other", r"AlreadyExists", 1),
    ("create configmap plain --from-literal=a=b", r"configmap/plain created", 0),
    ("create secret generic hidden --from-literal=a=b", r"secret/hidden created", 0),
    ("create serviceaccount robot", r"serviceaccount/robot created", 0),
    ("create service clusterip back --tcp=80:8080", r"service/back created", 0),
    ("create ingress way --rule=a.test/=back:80", r"ingress.networking.k8s.io/way created", 0),
    ("create pdb keep --selector=app=hello --min-available=1", r"keep created", 0),
    ("create role reader --verb=get --resource=pods", r"reader created", 0),
    ("create rolebinding reads --role=reader --serviceaccount=default:robot", r"reads created", 0),
    ("create token robot --duration=10m", r"^ey[\w-]+\.[\w-]+\.[\w-]+$", 0),
    ("create token robot --duration=1s", r"may not specify a duration less than 10 minutes", 1),
    ("auth can-i create pods --as ann", r"^no", 1),
    ("auth can-i create pods --as ann --as-group system:masters", r"^yes$", 0),
    ("auth can-i get pods --as system:serviceaccount:default:robot", r"^yes$", 0),
    ("get cm --as ann", r'User "ann" cannot list resource "configmaps"', 1),
    ("create deployment idle --image=none --replicas=0", r"deployment.apps/idle created", 0),
    ("create -f FOLDER/config.yaml", r"configmap/settings created", 0),
    ("create -f FOLDER/bad.yaml", r'unknown field "spec.replicaz"', 1),
    ("delete -f FOLDER/config.yaml", r'configmap "settings" deleted', 0),
    # Applying
    ("apply -f FOLDER/config.yaml", r"configmap/settings created", 0),
    ("apply -f FOLDER/config.yaml", r"configmap/settings unchanged", 0),
    ("diff -f FOLDER/changed.yaml", r"-  colour: red[\s\S]*\+  colour: blue", 1),
    ("apply -f FOLDER/changed.yaml --dry-run=server", r"settings configured \(server dry run\)", 0),
    ("apply -f FOLDER/changed.yaml", r"configmap/settings configured", 0),
    ("diff -f FOLDER/changed.yaml", r"^$", 0),
    ("apply --server-side -f FOLDER/config.yaml", r"conflict", 1),
    (
        "apply --server-side --force-conflicts -f FOLDER/config.yaml",
        r"configmap/settings serverside-applied",
        0,
    ),
    ("get cm settings --show-managed-fields -o yaml", r"operation: Apply", 0),
    ("apply -f FOLDER/v1.yaml", r"deployment.apps/hello created\nservice/hello created", 0),
    ("rollout status deploy/hello --timeout=90s", r"successfully rolled out", 0),
    # Looking
    ("get all", r"pod/hello-[\s\S]*service/hello[\s\S]*deployment.apps/hello +4/4", 0),
    ("get deploy hello -o wide", r"CONTAINERS +IMAGES +SELECTOR\nhello .* hello:v1 +app=hello", 0),
    ("get deploy hello -o yaml", r"kind: Deployment", 0),
    ("get deploy hello -o json", r'"kind": "Deployment"', 0),
    ("get deploy hello -o name", r"^deployment.apps/hello$", 0),
    ("get deploy hello -o jsonpath={.status.readyReplicas}", r"^4$", 0),
    ("get deploy hello -o go-template={{.spec.replicas}}", r"^4$", 0),
    ("get deploy -o custom-columns=N:.metadata.name,R:.spec.replicas", r"hello +4", 0),
    ("get pods -l app=hello --show-labels", r"app=hello,pod-template-hash=", 0),
    ("get pods -l app=nothing", r"No resources found", 0),
    ("get pods --field-selector status.phase=Running -o name", r"pod/hello-", 0),
    ("get pods --field-selector spec.nonsense=1", r"field label not supported", 1),
    ("get pods -A --sort-by=.metadata.name", r"NAMESPACE", 0),
    ("get pods --chunk-size=1 -o name", r"(pod/hello-\S+\n){4}", 0),
    ("get nothing", r"the server doesn't have a resource type \"nothing\"", 1),
    ("get deploy missing", r'deployments.apps "missing" not found', 1),
    ("get events", r"ScalingReplicaSet", 0),
    ("get events.events.k8s.io", r"ScalingReplicaSet", 0),
    ("events --for deploy/hello", r"ScalingReplicaSet", 0),
    ("describe deploy hello", r"StrategyType: +RollingUpdate[\s\S]*Events:", 0),
    ("describe pods -l app=hello", r"Controlled By: +ReplicaSet/hello-", 0),
    ("describe service hello", r"Endpoints: +127\.", 0),
    ("describe node", r"Capacity:", 0),
    ("logs deploy/hello --tail=5", r"listening on 0.0.0.0:8080", 0),
    ("logs -l app=hello --prefix --tail=1", r"^\[pod/hello-\S+/hello\] .*listening", 0),
    ("top pods -l app=hello", r"(hello-\S+ +\d+m +\d+Mi\s+){4}", 0),
    ("top pods -l app=hello --containers", r"hello-\S+ +hello +\d+m +\d+Mi", 0),
    ("top nodes", r" \d+m +\d+% +\d+Mi +\d+%", 0),
    ("top pod nobody", r"not found", 1),
    ("get --raw /apis/metrics.k8s.io/v1beta1/namespaces/none/pods", r'"items":\[\]', 0),
    # Changing
    ("scale deploy hello --replicas=2", r"deployment.apps/hello scaled", 0),
    ("wait deploy/hello --for=jsonpath={.status.replicas}=2 --timeout=60s", r"condition met", 0),
    ("scale deploy hello --replicas=3 --current-replicas=9", r"Expected replicas to be 9", 1),
    ("set image deploy/hello hello=hello:v2", r"deployment.apps/hello image updated", 0),
    ("rollout status deploy/hello --timeout=90s", r"successfully rolled out", 0),
    ("wait deploy/hello --for=condition=Available --timeout=60s", r"condition met", 0),
    (
        "get pods -l app=hello -o jsonpath={.items[*].spec.containers[0].image}"
        " --field-selector status.phase=Running",
        r"hello:v2",
        0,
    ),
    ("rollout history deploy/hello", r"REVISION[\s\S]*\n1 [\s\S]*\n2 ", 0),
    ("rollout undo deploy/hello", r"deployment.apps/hello rolled back", 0),
    ("rollout status deploy/hello --timeout=90s", r"successfully rolled out", 0),
    ("get deploy hello -o jsonpath={.spec.template.spec.containers[0].image}", r"^hello:v1$", 0),
    ("rollout pause deploy/hello", r"deployment.apps/hello paused", 0),
    ("rollout restart deploy/hello", r"can't restart paused deployment", 1),
    ("set env deploy/hello MORE=1", r"deployment.apps/hello env updated", 0),
    ("rollout resume deploy/hello", r"deployment.apps/hello resumed", 0),
    ("rollout status deploy/hello --timeout=90s", r"successfully rolled out", 0),
    ("rollout restart deploy/hello", r"deployment.apps/hello restarted", 0),
    ("rollout status deploy/hello --timeout=90s", r"successfully rolled out", 0),
    ("set resources deploy/idle --limits=cpu=100m", r"idle resource requirements updated", 0),
    ("set selector service/back app=hello", r"service/back selector updated", 0),
    ("set serviceaccount deploy/idle robot", r"idle serviceaccount updated", 0),
    ("label cm plain tier=a", r"configmap/plain labeled", 0),
    ("label cm plain tier=b", r"already has a value", 1),
    ("label cm plain tier=b --overwrite", r"configmap/plain labeled", 0),
    ("label cm plain tier-", r"configmap/plain unlabeled", 0),
    ("annotate cm plain note=x", r"configmap/plain annotated", 0),
    ('patch cm plain --type=merge -p {"data":{"a":"c"}}', r"configmap/plain patched", 0),
    (
        'patch cm plain --type=json -p [{"op":"test","path":"/data/a","value":"z"}]',
        r"[Tt]est|test",
        1,
    ),
    ('patch deploy idle -p {"spec":{"minReadySeconds":1}}', r"deployment.apps/idle patched", 0),
    ("expose deploy hello --port=81 --target-port=8080 --name=more", r"service/more exposed", 0),
    ("run lone --image=none --restart=Never --command -- sleep 60", r"pod/lone created", 0),
    ("wait pod/lone --for=condition=Ready --timeout=60s", r"condition met", 0),
    ("exec lone -- printenv HOME", r"/", 0),
    ("exec lone -- false", r"exit code 1", 1),
    ("cp FOLDER/config.yaml lone:FOLDER/copied.yaml", r"", 0),
    ("exec lone -- cat FOLDER/copied.yaml", r"kind: ConfigMap", 0),
    # The newest kubectl words the same 404 in its own way.
    ("autoscale deploy hello --max=5", r"incompatible with autoscaling/v1|could not find", 1),
    # A kind of one's own
    ("apply -f FOLDER/definition.yaml", r"widgets.example.com created", 0),
    ("wait crd/widgets.example.com --for=condition=Established", r"condition met", 0),
    ("apply -f FOLDER/widget.yaml", r"widget.example.com/one created", 0),
    ("get wd", r"NAME +SIZE\none +3", 0),
    ("explain widget.spec.size", r"How large it is", 0),
    ("scale widget one --replicas=5", r"widget.example.com/one scaled", 0),
    ("apply --server-side -f FOLDER/widget.yaml --force-conflicts", r"serverside-applied", 0),
    ('patch widget one --type=merge -p {"spec":{"size":0}}', r"greater than or equal to 1", 1),
    ("describe widget one", r"Size: +3", 0),
    ("delete crd widgets.example.com", r'"widgets.example.com" deleted', 0),
    ("get widgets", r"the server doesn't have a resource type|could not find", 1),
    # Maintenance
    ("cordon NODE", r"cordoned", 0),
    ("uncordon NODE", r"uncordoned", 0),
    ("drain NODE --dry-run=server --force --ignore-daemonsets", r"drained \(server dry run\)", 0),
    # Ending
    ("delete pod lone --grace-period=1", r'pod "lone" deleted', 0),
    ("delete deploy idle --cascade=foreground", r'deployment.apps "idle" deleted', 0),
    ("delete deploy hello --cascade=orphan", r'deployment.apps "hello" deleted', 0),
    ("get rs -l app=hello -o name", r"replicaset.apps/hello-", 0),
    ("delete rs -l app=hello --cascade=background", r"deleted", 0),
    ("wait pods -l app=hello --for=delete --timeout=60s", r"", 0),
    ("delete svc,ingress,pdb,cm --all", r"deleted", 0),
    ("get rs,pods,endpointslices,ingress -l app=hello -o name", r"^$", 0),
    ("delete cm missing", r'configmaps "missing" not found', 1),
    ("delete cm missing --ignore-not-found", r"^$", 0),
    ("delete namespace other", r'namespace "other" deleted', 0),
)


def words(command: str, folder: Path, node: str) -> list[str]:
    """The words of a command; what is in quotes or braces has no blanks."""
    placed = command.replace("FOLDER", str(folder)).replace("NODE", node)
    return placed.split()


def write_files(folder: Path) -> None:
    files = {
        "config.yaml": CONFIG.replace("COLOUR", "red"),
        "changed.yaml": CONFIG.replace("COLOUR", "blue"),
        "definition.yaml": DEFINITION,
        "widget.yaml": WIDGET,
        "bad.yaml": BAD,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    write(folder / "v1.yaml", hello(spec=AT_ONCE))


def fits(said: Said, case: Case) -> bool:
    _, shape, code = case
    return said.code == code and re.search(shape, said.out + said.err, re.MULTILINE) is not None


async def answered(kubectl: Kubectl, case: Case, folder: Path, node: str) -> Said:
    """Raises TimeoutError when there is no answer, or not the one to wait for."""
    args = words(case[0], folder, node)
    said = await kubectl.ask(*args)
    async with asyncio.timeout(60):
        while case[0] in LATER and not fits(said, case):
            await asyncio.sleep(0.1)
            said = await kubectl.ask(*args)
    return said


async def test_a_transcript_of_kubectl(kubectl: Kubectl, engine: Engine, tmp_path: Path) -> None:
    assert len(TRANSCRIPT) >= 60
    write_files(tmp_path)
    node = (await kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")).strip()
    wrong = []
    for case in TRANSCRIPT:
        command, shape, code = case
        try:
            said = await answered(kubectl, case, tmp_path, node)
        except TimeoutError:
            wrong.append(f"kubectl {command}: no end")
            continue
        if not fits(said, case):
            told = said.out + said.err
            wrong.append(f"kubectl {command}\n  {said.code} (expected {code}), /{shape}/\n{told}")
    assert not wrong, f"{len(wrong)} of {len(TRANSCRIPT)}:\n" + "\n".join(wrong)
