"""kubeconfig files: reading any, writing nodrop's own."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTEXT = "nodrop"


class KubeconfigError(Exception):
    """A kubeconfig can't be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A cluster and the credentials for it, as one context of a kubeconfig names them.

    ``ca_pem`` None = the system's authorities. Certificates and keys are PEM text.
    """

    server: str
    namespace: str = "default"
    ca_pem: str | None = None
    insecure: bool = False
    server_name: str | None = None
    token: str = ""
    cert_pem: str = ""
    key_pem: str = ""

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS as the kubeconfig wants it; None for plain HTTP."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=self.ca_pem)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert_pem:
            _load_pair(context, self.cert_pem, self.key_pem)
        return context


def read_kubeconfig(path: Path, context: str | None = None) -> Endpoint:
    """The endpoint of ``context``, or of the current one. Raises KubeconfigError."""
    document = _document(path)
    wanted = context or document.get("current-context") or ""
    if not wanted:
        raise KubeconfigError(f"{path}: no current-context is set: name a context")
    chosen = _named(path, document, "contexts", wanted, "context")
    cluster = _named(path, document, "clusters", chosen.get("cluster", ""), "cluster")
    user = _named(path, document, "users", chosen.get("user", ""), "user")
    if "server" not in cluster:
        raise KubeconfigError(f"{path}: cluster {chosen['cluster']!r} has no server")
    for unsupported in ("exec", "auth-provider"):
        if unsupported in user:
            raise KubeconfigError(
                f"{path}: user {chosen['user']!r} signs in by {unsupported!r}, which nodrop does "
                "not run: use a token or a client certificate"
            )
    return Endpoint(
        server=str(cluster["server"]).rstrip("/"),
        namespace=chosen.get("namespace") or "default",
        ca_pem=_pem(path, cluster, "certificate-authority"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=cluster.get("tls-server-name"),
        token=_token(path, user),
        cert_pem=_pem(path, user, "client-certificate") or "",
        key_pem=_pem(path, user, "client-key") or "",
    )


def render_kubeconfig(*, server: str, ca_pem: str, token: str, namespace: str = "default") -> str:
    """A kubeconfig with the one context ``nodrop``."""
    ca_data = base64.b64encode(ca_pem.encode()).decode()
    return (
        "apiVersion: v1\n"
        "kind: Config\n"
        f"current-context: {CONTEXT}\n"
        "clusters:\n"
        f"- name: {CONTEXT}\n"
        "  cluster:\n"
        f"    server: {server}\n"
        f"    certificate-authority-data: {ca_data}\n"
        "users:\n"
        f"- name: {CONTEXT}\n"
        "  user:\n"
        f"    token: {token}\n"
        "contexts:\n"
        f"- name: {CONTEXT}\n"
        "  context:\n"
        f"    cluster: {CONTEXT}\n"
        f"    user: {CONTEXT}\n"
        f"    namespace: {namespace}\n"
    )


# Private


def _document(path: Path) -> dict[str, Any]:
    # Imported here: the engine only writes kubeconfigs, and PyYAML costs memory.
    import yaml

    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{path}: not a kubeconfig")
    return document


def _named(path: Path, document: dict[str, Any], field: str, name: str, key: str) -> dict[str, Any]:
    entries: Iterable[dict[str, Any]] = document.get(field) or ()
    for entry in entries:
        if entry.get("name") == name:
            found: dict[str, Any] = entry.get(key) or {}
            return found
    raise KubeconfigError(f"{path}: there is no {key} {name!r}")


def _pem(path: Path, entry: dict[str, Any], field: str) -> str | None:
    """The PEM text that ``<field>-data`` holds or ``<field>`` points at."""
    try:
        if data := entry.get(f"{field}-data"):
            return base64.b64decode(str(data), validate=True).decode()
        if file := entry.get(field):
            return (path.parent / str(file)).read_text()
    except (OSError, binascii.Error, UnicodeDecodeError) as error:
        raise KubeconfigError(f"{path}: {field}: {error}") from error
    return None


def _token(path: Path, user: dict[str, Any]) -> str:
    if token := user.get("token"):
        return str(token)
    if file := user.get("tokenFile"):
        try:
            return (path.parent / str(file)).read_text().strip()
        except OSError as error:
            raise KubeconfigError(f"{path}: tokenFile: {error}") from error
    return ""


def _load_pair(context: ssl.SSLContext, cert_pem: str, key_pem: str) -> None:
    """Give ``context`` a client certificate. OpenSSL reads keys from files only."""
    with tempfile.NamedTemporaryFile(prefix="nodrop-", suffix=".pem") as file:  # mode 0600
        os.fchmod(file.fileno(), 0o600)
        file.write(f"{cert_pem}\n{key_pem}\n".encode())
        file.flush()
        context.load_cert_chain(file.name)
