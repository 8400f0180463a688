"""What ``--skip-unserved`` passes over, and what stays somebody's mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nodrop.check.broken import BrokenManifest
from nodrop.check.source import read_text
from nodrop.cli.apply import Refused, prepare
from nodrop.cli.main import main
from nodrop.cli.manifests import read_manifests
from nodrop.cli.unserved import HINT, without_unserved
from nodrop.model.kinds import KINDS, Kind

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web:1, command: [web]}]}
"""


def written(version: str, kind: str, name: str = "name: a") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{{name}}}\n"


@pytest.mark.parametrize(
    ("version", "kind", "meaning"),
    [
        ("autoscaling/v2", "HorizontalPodAutoscaler", "the number of replicas stays as written"),
        ("networking.k8s.io/v1", "NetworkPolicy", "not enforced"),
        ("v1", "PersistentVolumeClaim", "there is no such storage"),
        ("monitoring.coreos.com/v1", "ServiceMonitor", "nothing in nodrop reads it (a custom"),
        ("serving.knative.dev/v1", "Service", "nothing in nodrop reads it (a custom"),
        ("gateway.networking.k8s.io/v1", "Gateway", "nothing in nodrop reads it (a custom"),
        ("storage.k8s.io/v1", "StorageClass", "nothing in nodrop reads it"),
        ("batch/v1", "Job", "not run"),
        ("batch/v1", "CronJob", "not run"),
        ("apps/v1", "StatefulSet", "not run"),
        ("apps/v1", "DaemonSet", "not run"),
    ],
)
def test_kinds_that_are_passed_over_and_what_it_means(
    version: str, kind: str, meaning: str
) -> None:
    documents = [*read_text(written(version, kind), file="m.yaml", folder=Path())]
    left, (passed,) = without_unserved(documents)
    assert not left
    assert str(passed).startswith(f"m.yaml:1: {kind}/a is passed over: {meaning}")


@pytest.mark.parametrize(
    ("version", "kind", "said"),
    [
        ("apps/v1", "Deploymnet", 'did you mean "Deployment"?'),
        ("apps/v1", "statefulset", 'did you mean "StatefulSet"?'),
        ("batch/v1", "Jobb", 'did you mean "Job"?'),
        ("v1", "Servce", 'did you mean "Service"?'),
        ("networking.k8s.io/v1", "Ingres", 'did you mean "Ingress"?'),
        ("networking.k8s.io/v1beta1", "Ingress", "Ingress is served as networking.k8s.io/v1"),
        ("networking.k8s.oi/v1", "Ingress", "Ingress is served as networking.k8s.io/v1"),
        ("extensions/v1beta1", "Deployment", "Deployment is served as apps/v1"),
        ("kustomize.config.k8s.io/v1beta1", "Kustomization", "nodrop serves ClusterRole"),
    ],
)
def test_mistakes_stay_mistakes(version: str, kind: str, said: str) -> None:
    documents = [*read_text(written(version, kind), file="m.yaml", folder=Path())]
    left, passed = without_unserved(documents)
    assert not passed
    with pytest.raises(Refused) as error:
        prepare(left, "default")
    assert said in str(error.value)
    assert not error.value.hint


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_served_kind_is_passed_over(kind: Kind) -> None:
    text = written(kind.api_version, kind.kind)
    assert not without_unserved(read_text(text, file="m.yaml", folder=Path()))[1]


def test_without_the_flag_all_are_told_at_once_and_the_hint_names_it() -> None:
    text = "---\n".join(
        (WEB, written("batch/v1", "Job", "generateName: seed-"), written("v1", "LimitRange"))
    )
    with pytest.raises(Refused) as error:
        prepare(read_text(text, file="m.yaml", folder=Path()), "default")
    assert str(error.value).splitlines() == [
        'm.yaml:10: Job seed-*: kind: Unsupported value: "Job": nodrop doesn\'t serve it',
        'm.yaml:14: LimitRange a: kind: Unsupported value: "LimitRange": nodrop doesn\'t serve it',
    ]
    assert error.value.hint == HINT


def test_files_of_which_nothing_is_left_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(written("batch/v1", "Job"))
    told: list[str] = []
    with pytest.raises(BrokenManifest, match="nodrop serves nothing in"):
        read_manifests([tmp_path], skip_unserved=True, warn=told.append)
    assert told == [f"{tmp_path}/m.yaml:1: Job/a is passed over: not run"]


def test_a_plan_of_a_folder_from_a_cluster_is_made_when_asked(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    (tmp_path / "hpa.yaml").write_text(written("autoscaling/v2", "HorizontalPodAutoscaler"))
    arguments = ["plan", "-f", str(tmp_path), "--from", str(tmp_path), "--no-worst-case"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code != 0
    assert HINT in refused.output
    done = CliRunner().invoke(main, [*arguments, "--skip-unserved"])
    assert done.exit_code == 0, done.output
    assert "HorizontalPodAutoscaler/a is passed over" in done.output
