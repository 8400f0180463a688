"""YAML as kubectl reads it, and broken manifests that end in one clear sentence."""

import io
from pathlib import Path

import pytest

from nodrop.check.broken import BrokenManifest
from nodrop.check.source import read_files, read_text

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


def value_of(scalar: str) -> object:
    (document,) = read_text(HEAD + f"data: {{v: {scalar}}}\n", file="f", folder=Path())
    return document.obj["data"]["v"]


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("yes", True),
        ("y", True),
        ("on", True),
        ("off", False),
        ("n", False),
        ("true", True),
        ("0o7", 7),
        ("010", 8),
        ("0x1f", 31),
        ("1e3", 1000),
        ("1.5", 1.5),
        ("12:30", "12:30"),
        ("2026-11-23", "2026-11-23"),
        ("~", None),
        ("null", None),
        ('"8080"', "8080"),
        ("8080", 8080),
        ("-3", -3),
        ("1.2.3", "1.2.3"),
        ("v1", "v1"),
        ("25%", "25%"),
        ("nginx", "nginx"),
    ],
)
def test_scalars_are_read_as_kubectl_reads_them(scalar: str, expected: object) -> None:
    found = value_of(scalar)
    assert found == expected
    assert type(found) is type(expected)


def test_documents_know_their_lines_and_lists_are_taken_apart() -> None:
    text = f"---\n{HEAD}---\napiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Pod, "
    text += "metadata: {name: p}}\n"
    documents = list(read_text(text, file="app.yaml", folder=Path()))
    assert [str(d) for d in documents] == ["app.yaml:2", "app.yaml:9"]
    assert [d.obj["kind"] for d in documents] == ["ConfigMap", "Pod"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\n", r"f:2:1: not valid YAML: "),
        ("a: b: c\n", r"f:1:5: not valid YAML: mapping values are not allowed"),
        (HEAD + "kind: Pod\n", r'f:4:1: not valid YAML: key "kind" already set in map'),
        ("- 1\n", r"f:1: a Kubernetes object is a mapping"),
        ("kind: Pod\n", r"f:1: apiVersion: Required value"),
        ("apiVersion: v1\nkind: Pod\n", r"f:1: metadata\.name: Required value"),
        (
            "metadata:\n\tname: x",
            "f:2:1: not valid YAML: indented with a tab, it must be spaces",
        ),
        ("metadata: {name: {{ .Release.Name }}}", "is a Helm template"),
        ("plain text", "but this is text"),
        ("- a\n- b", "but this is a list"),
    ],
)
def test_a_broken_manifest_ends_in_one_clear_message(text: str, message: str) -> None:
    with pytest.raises(BrokenManifest, match=message):
        list(read_text(text, file="f", folder=Path()))


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BrokenManifest, match=r"gone\.yaml: no such file or directory$"):
        read_files([tmp_path / "gone.yaml"])
    with pytest.raises(BrokenManifest, match=r"holds no \.yaml"):
        read_files([tmp_path])
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    with pytest.raises(BrokenManifest, match="no Kubernetes object found"):
        read_files([tmp_path / "empty.yaml"])


def test_a_file_that_is_no_text_is_named_without_python_words(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_bytes(b"a: b\nc: \xff\xfe\n")
    with pytest.raises(BrokenManifest, match=r"m\.yaml:2: not UTF-8 text"):
        read_files([file])


def test_standard_input_is_read_and_meant_from_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    monkeypatch.chdir(tmp_path)
    (found,) = read_files([Path("-")])
    assert str(found) == "<stdin>:1"
    assert found.folder == tmp_path


@pytest.mark.parametrize("text", ["- " * 100_000 + "a", "a: " + "[" * 100_000])
def test_a_file_that_is_nested_too_deep_does_not_end_the_process(text: str) -> None:
    with pytest.raises(BrokenManifest, match="nested too deeply"):
        list(read_text(text, file="f", folder=Path()))
