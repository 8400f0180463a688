"""Certificates in HAProxy: added, replaced and removed at run time, on disk for a restart.

A certificate's file is named after its Secret and its content, so that one that changes is a new
one: it is added before the old one is taken away, and what HAProxy shows by name is all that
there is to know.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nodrop.proxy.haproxy.admin_socket import (
    PAYLOAD_BYTES,
    AdminSocket,
    Disconnected,
    refusal_of,
)
from nodrop.proxy.haproxy.web import CERTIFICATE_FOLDER, CERTIFICATES
from nodrop.proxy.protocol import Certificate, ProxyFailure

_FOLDER = f"{CERTIFICATE_FOLDER}/"
_DEFAULT = f"{CERTIFICATE_FOLDER}/default.pem"
_ALPN = "[alpn h2,http/1.1]"


def default_file(folder: Path) -> Path:
    """The certificate for who asks for no host that has one; ``prepare`` makes it if need be."""
    return folder / _DEFAULT


def file_name(certificate: Certificate) -> str:
    """``tls/SECRET-CONTENT.pem``, both as digests; hosts are part of the content."""
    content = "\n".join((certificate.pem, *certificate.hosts))
    return f"{CERTIFICATE_FOLDER}/{_digest(certificate.secret)}-{_digest(content)}.pem"


def parse_served(text: str) -> frozenset[str]:
    """``show ssl crt-list`` → the certificates in it, but for the default."""
    files = (line.split(maxsplit=1)[0].partition(":")[0] for line in text.splitlines() if line)
    return frozenset(file for file in files if file.startswith(_FOLDER) and file != _DEFAULT)


def parse_list(text: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The list's file → file of a certificate → (its Secret, hosts)."""
    found, secret = {}, ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["#"]:
            secret = words[1]
        elif words and words[0] != _DEFAULT:
            found[words[0]] = (secret, tuple(words[3:]))
    return found


def render_list(listed: Mapping[str, tuple[str, tuple[str, ...]]]) -> str:
    """The list's file: the default certificate first, which is for no host of its own."""
    lines = [f"{_DEFAULT} !*"]
    for file, (secret, hosts) in sorted(listed.items()):
        lines += [f"# {secret}", _line(file, hosts)]
    return "".join(f"{line}\n" for line in lines)


@dataclass(slots=True)
class Certificates:
    """Those of one main process and the files of the next.

    ``served`` are names of files; None: the process has no TLS sockets, so nothing is served.
    ``refused`` are Secrets with the reason.
    """

    folder: Path
    served: frozenset[str] | None = None
    refused: dict[str, str] = field(default_factory=dict)
    _listed: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make sure that a main process finds a list with the default certificate."""
        (self.folder / CERTIFICATE_FOLDER).mkdir(mode=0o700, exist_ok=True)
        if not (default := default_file(self.folder)).exists():
            # Imported here: mostly it is there already, and this needs 12 MB.
            from nodrop.proxy.haproxy.default_certificate import self_signed

            _write_secretly(default, self_signed())
        try:
            listed = parse_list((self.folder / CERTIFICATES).read_text())
        except (OSError, IndexError):
            listed = {}
        self._write_list({f: entry for f, entry in listed.items() if (self.folder / f).exists()})

    def stored(self) -> tuple[Certificate, ...]:
        """What the files hold."""
        return tuple(
            Certificate(secret, hosts, (self.folder / file).read_text())
            for file, (secret, hosts) in sorted(self._listed.items())
        )

    async def read_back(self, admin: AdminSocket) -> None:
        """Learn what the process serves."""
        lists = (await admin.ask("show ssl crt-list")).split()
        if CERTIFICATES in lists:
            answer = await admin.ask(f"show ssl crt-list -n {CERTIFICATES}")
            self.served = parse_served(answer)
        else:
            self.served = None

    async def bring(self, admin: AdminSocket, certificates: Iterable[Certificate]) -> None:
        """Serve these; those that can't be served are in ``refused``, the ones before stay.

        New ones come first, then the list for a restart, then old ones go.
        """
        wanted = {file_name(one): one for one in certificates}
        self.refused = {}
        for file, one in sorted(wanted.items()):
            if self.served is None:
                continue
            refusal = await refusal_of(_add(admin, file, one)) if file not in self.served else None
            if refusal is not None:
                self.refused[one.secret] = str(refusal)
            elif not (self.folder / file).exists():
                _write_secretly(self.folder / file, one.pem)
        listed = self._to_list(wanted)
        if listed != self._listed:
            self._write_list(listed)
        if self.served is not None:
            await _remove(admin, self.served - listed.keys())
            self.served = frozenset(listed)
        self._clean()

    # Private

    def _to_list(self, wanted: Mapping[str, Certificate]) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Only what HAProxy has taken: with a file that it refuses it would not start."""
        if self.served is None:
            return {}
        taken = {
            file: (one.secret, one.hosts)
            for file, one in wanted.items()
            if one.secret not in self.refused
        }
        kept = {file: entry for file, entry in self._listed.items() if entry[0] in self.refused}
        return {**taken, **kept}

    def _write_list(self, listed: dict[str, tuple[str, tuple[str, ...]]]) -> None:
        _write_secretly(self.folder / CERTIFICATES, render_list(listed))
        self._listed = listed

    def _clean(self) -> None:
        for path in (self.folder / CERTIFICATE_FOLDER).iterdir():
            name = f"{CERTIFICATE_FOLDER}/{path.name}"
            if name not in self._listed and name != _DEFAULT:
                path.unlink(missing_ok=True)


# Private


async def _add(admin: AdminSocket, file: str, certificate: Certificate) -> None:
    """All or nothing: what is refused half-way is taken back."""
    pem = "".join(f"{line}\n" for line in certificate.pem.splitlines() if line.strip())
    line = _line(file, certificate.hosts)
    if len(line) > PAYLOAD_BYTES:  # it would end the connection, and so every change of the table
        raise ProxyFailure(
            f"its {len(certificate.hosts)} hosts have {len(line)} bytes together, {PAYLOAD_BYTES} "
            "fit: name a wildcard, or make several Secrets"
        )
    try:
        await admin.execute([f"new ssl cert {file}"])
        await admin.execute([f"set ssl cert {file} <<\n{pem}"])
        await admin.execute([f"commit ssl cert {file}"])
        await admin.execute([f"add ssl crt-list {CERTIFICATES} <<\n{line}\n"])
    except Disconnected:
        raise
    except ProxyFailure:
        await admin.attempt([f"abort ssl cert {file}", f"del ssl cert {file}"])
        raise


async def _remove(admin: AdminSocket, files: Iterable[str]) -> None:
    for file in sorted(files):
        await admin.execute([f"del ssl crt-list {CERTIFICATES} {file}", f"del ssl cert {file}"])


def _line(file: str, hosts: Iterable[str]) -> str:
    return " ".join((file, _ALPN, *hosts))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _write_secretly(path: Path, text: str) -> None:
    """Replace a file whole, readable by its owner only from its first moment on."""
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        os.replace(new, path)
    except OSError as error:
        raise ProxyFailure(f"can't write {path}: {error.strerror or error}") from error
