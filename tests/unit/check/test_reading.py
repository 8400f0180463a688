"""Which files a check reads, and what it says of the others."""

from __future__ import annotations

from pathlib import Path

from nodrop.check.reading import gather

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_folders_are_read_with_all_below_and_other_yaml_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "b.yml", CONFIG % "b")
    write(
        tmp_path / "deep" / "er" / "c.json",
        '{"apiVersion": "v1", "kind": "X", "metadata": {"name": "c"}}',
    )
    write(tmp_path / "values.yaml", "replicas: 3\n")
    write(tmp_path / ".github" / "x.yaml", CONFIG % "hidden")
    write(tmp_path / "node_modules" / "x.yaml", CONFIG % "foreign")
    write(tmp_path / "notes.txt", CONFIG % "text")
    found = gather([tmp_path])
    assert [one.obj["metadata"]["name"] for one in found.documents] == ["b", "c"]
    assert found.problems == []


def test_a_kustomization_is_passed_over_and_the_way_to_the_whole_is_told(tmp_path: Path) -> None:
    text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n"
    write(tmp_path / "kustomization.yaml", text)
    write(tmp_path / "a.yaml", CONFIG % "a")
    found = gather([tmp_path])
    assert len(found.documents) == 1
    assert found.problems == []
    assert f"kustomize build {tmp_path} | nodrop check -" in found.notes[0]


def test_a_helm_template_is_refused_with_the_way_to_render_it(tmp_path: Path) -> None:
    text = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n  {{- if .x }}\n"
    )
    write(tmp_path / "templates" / "a.yaml", text)
    write(tmp_path / "b.yaml", CONFIG % "b")
    found = gather([tmp_path])
    assert [one.obj["metadata"]["name"] for one in found.documents] == ["b"]
    (problem,) = found.problems
    assert "a.yaml: is a Helm template" in problem
    assert "helm template RELEASE CHART > rendered.yaml" in problem


def test_what_was_named_must_be_there_and_hold_something(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.yaml", "# nothing\n")
    values = write(tmp_path / "values.yaml", "replicas: 3\n")
    found = gather([tmp_path / "gone.yaml", empty, values])
    assert [problem.removeprefix(f"{tmp_path}/") for problem in found.problems] == [
        "gone.yaml: no such file or directory",
        "empty.yaml: holds no Kubernetes object",
        "values.yaml:1: apiVersion: Required value: e.g. apps/v1 Deployment",
    ]
    assert gather([tmp_path]).problems == ["no Kubernetes object found in what was given"]
