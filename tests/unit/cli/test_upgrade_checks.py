"""What `nodrop upgrade` looks at before it touches anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodrop.cli.upgrade_checks import refusal_of_proxy, refusals_of, serve_command, unit_of
from nodrop.keeper.client import protocol_trouble
from nodrop.keeper.protocol import KeeperInfo
from nodrop.keeper.wire import OLDEST_PROTOCOL, PROTOCOL
from nodrop.store.migrations import SCHEMA_VERSION


def engine(**versions: Any) -> dict[str, Any]:
    return {"versions": {"nodrop": "9.9.9", **versions}}


@pytest.mark.parametrize(
    ("running", "keeper", "refused"),
    [
        (engine(), "", []),
        (engine(store=SCHEMA_VERSION), "", []),
        (engine(store=SCHEMA_VERSION + 1), "", [f"format {SCHEMA_VERSION + 1}"]),
        (engine(), "the keeper is too old", ["too old"]),
        (engine(store=99), "the keeper is too old", ["too old", "nodrop 9.9.9"]),
    ],
)
def test_refusals(running: dict[str, Any], keeper: str, refused: list[str]) -> None:
    found = refusals_of(running, keeper)
    assert len(found) == len(refused)
    for part, sentence in zip(refused, found, strict=True):
        assert part in sentence


@pytest.mark.parametrize(
    ("protocol", "trouble"),
    [
        (OLDEST_PROTOCOL - 1, "too old"),
        *((number, "") for number in range(OLDEST_PROTOCOL, PROTOCOL + 1)),
        (PROTOCOL + 1, "too new"),
    ],
)
def test_a_keeper_of_another_protocol(protocol: int, trouble: str) -> None:
    said = protocol_trouble(KeeperInfo(pid=7, protocol=protocol, boot_id="", network=16))
    assert trouble in said
    assert bool(said) == bool(trouble)
    if said:
        assert "pid 7" in said
        assert "nodrop down" in said


def test_only_engines_that_understand_are_asked_for_a_new_proxy() -> None:
    assert "nodrop upgrade" in refusal_of_proxy(engine())
    assert refusal_of_proxy({**engine(), "proxy": {}}) == ""


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["python", "-m", "nodrop", "serve"], ["--state", "/s"]),
        (["/v1/bin/nodrop", "serve", "--state=/t"], ["--state=/t"]),
        (
            ["/v1/bin/nodrop", "serve", "--state", "/t", "--bind", "::1"],
            ["--state", "/t", "--bind", "::1"],
        ),
        (["something"], ["--state", "/s"]),
    ],
)
def test_the_next_one_is_started_like_the_one_before(argv: list[str], command: list[str]) -> None:
    found = serve_command(argv, python="/v2/bin/python", root=Path("/s"))
    assert found == ["/v2/bin/python", "-P", "-m", "nodrop", "serve", *command]


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/nodrop.service\n", ("nodrop.service", False)),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/nodrop-b.service\n",
            ("nodrop-b.service", True),
        ),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", ("", False)),
        ("12:cpu:/\n1:name=systemd:/system.slice/ssh.service\n", ("", False)),
        ("", ("", False)),
    ],
)
def test_the_unit_of_a_process(cgroup: str, unit: tuple[str, bool]) -> None:
    assert unit_of(cgroup) == unit
