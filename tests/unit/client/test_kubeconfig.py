import base64
from pathlib import Path

import pytest

from nodrop.client.kubeconfig import KubeconfigError, read_kubeconfig, render_kubeconfig


def test_our_own_kubeconfig_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(render_kubeconfig(server="https://127.0.0.1:1", ca_pem="PEM", token="secret"))
    endpoint = read_kubeconfig(path)
    assert (endpoint.server, endpoint.ca_pem, endpoint.token, endpoint.namespace) == (
        "https://127.0.0.1:1",
        "PEM",
        "secret",
        "default",
    )


def test_files_are_meant_from_the_kubeconfigs_folder_and_a_context_can_be_chosen(
    tmp_path: Path,
) -> None:
    (tmp_path / "ca.crt").write_text("CA")
    data = base64.b64encode(b"CERT").decode()
    path = tmp_path / "config"
    path.write_text(
        f"""
current-context: a
clusters: [{{name: c, cluster: {{server: "https://h:6443/", certificate-authority: ca.crt}}}}]
users: [{{name: u, user: {{client-certificate-data: {data}, client-key-data: {data}}}}}]
contexts:
- {{name: a, context: {{cluster: gone, user: u}}}}
- {{name: b, context: {{cluster: c, user: u, namespace: team}}}}
"""
    )
    endpoint = read_kubeconfig(path, "b")
    assert (endpoint.server, endpoint.ca_pem, endpoint.cert_pem, endpoint.namespace) == (
        "https://h:6443",
        "CA",
        "CERT",
        "team",
    )
    with pytest.raises(KubeconfigError, match="there is no cluster 'gone'"):
        read_kubeconfig(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a kubeconfig"),
        ("a: [", "not YAML"),
        ("a: 1", "no current-context"),
        ("current-context: x", "there is no context 'x'"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(KubeconfigError, match=why):
        read_kubeconfig(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="nowhere: No such file"):
        read_kubeconfig(tmp_path / "nowhere")
