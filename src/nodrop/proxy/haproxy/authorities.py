"""The certificates that backends' own are checked against: files that HAProxy gets at run time.

A file is named after its content, so it never changes; a process keeps those that it has loaded.
"""

from __future__ import annotations

from collections.abc import Mapping

from nodrop.proxy.haproxy.admin_socket import AdminSocket
from nodrop.proxy.haproxy.plan import Change, Served
from nodrop.proxy.haproxy.slots import AUTHORITY_FOLDER


def parse_loaded(text: str) -> frozenset[str]:
    """``show ssl ca-file`` → the files of ours that hold something."""
    lines = (line.split() for line in text.splitlines())
    return frozenset(
        words[0]
        for words in lines
        if words[:1] and words[0].startswith(f"{AUTHORITY_FOLDER}/") and words[2:3] != ["0"]
    )


async def loaded(admin: AdminSocket) -> set[str]:
    """What the process has."""
    return set(parse_loaded(await admin.ask("show ssl ca-file")))


async def admit(admin: AdminSocket, served: Served, change: Change) -> None:
    """Carry out the first step of a change, with the files that its servers need."""
    await _load(admin, served, change.authorities)
    await admin.execute(change.before)


async def _load(admin: AdminSocket, served: Served, files: Mapping[str, str]) -> None:
    for file, pem in files.items():
        lines = "".join(f"{line}\n" for line in pem.splitlines() if line.strip())
        await admin.attempt([f"new ssl ca-file {file}"])  # there already: loading it broke off
        await admin.execute([f"set ssl ca-file {file} <<\n{lines}", f"commit ssl ca-file {file}"])
        served.authorities.add(file)
