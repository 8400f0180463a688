"""The unit that `nodrop install` writes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from nodrop.cli.main import main
from nodrop.cli.session import Failure
from nodrop.cli.systemd import SYSTEM_STATE, Unit, quoted, unit_name


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    return done.exit_code, done.output


def printed(*arguments: str) -> dict[str, str]:
    code, text = run("install", "--print", *arguments)
    assert code == 0
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_a_unit_of_a_user() -> None:
    found = printed("--user", "--state", "/tmp/state", "--", "--bind", "::1")
    assert found["ExecStart"].endswith(" -P -m nodrop serve --state /tmp/state --bind ::1")
    assert found["KillMode"] == "process", "pods outlive the engine"
    assert found["Restart"] == "on-failure"
    assert found["OOMPolicy"] == "continue", "a pod's end is not the engine's"
    assert found["WantedBy"] == "default.target"
    assert "AmbientCapabilities" not in found


def test_a_unit_of_the_machine() -> None:
    found = printed("--system", "--run-as", "nobody")
    assert f"--state {SYSTEM_STATE}" in found["ExecStart"]
    assert found["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
    assert (found["User"], found["StateDirectory"]) == ("nobody", "nodrop")
    assert found["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--user or --system"),
        (("--user", "--system"), "--user or --system"),
        (("--user", "--run-as", "web"), "--run-as needs --system"),
        (("--system", "--run-as", "nosuchuser"), "--run-as nosuchuser: this machine has no such"),
        (("--user", "--", "--bogus"), "nodrop serve: No such option '--bogus'"),
        (("--user", "--", "--http-port", "x"), "'x' is not a valid integer range"),
        (("--user", "--", "--base-dir", "/no/such"), "'/no/such' does not exist"),
        (("--user", "--", "--base-dir", "."), "--base-dir .: the unit runs in another folder"),
        (("--user", "--", "--bind", "web"), "nodrop serve: --bind web: not an IP address"),
        (("--user", "--", "here"), "nodrop serve: Got unexpected extra argument (here)"),
        (("--user", "--", "--state", "/tmp/x"), "the unit says it already"),
        (("--user", "--name", "web"), "must begin with nodrop"),
        (("--user", "--name", "nodrop/../x"), "must begin with nodrop"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], says: str) -> None:
    code, text = run("install", "--print", *arguments)
    assert code == 2
    assert says in text


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain", "plain"),
        ("/a b", '"/a b"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('say "x"', '"say \\"x\\""'),
        ("", '""'),
    ],
)
def test_words_are_quoted(word: str, written: str) -> None:
    assert quoted(word) == written


def test_a_line_end_can_not_be_written() -> None:
    with pytest.raises(Failure, match="line end"):
        quoted("a\nExecStart=/bin/evil")


def test_names() -> None:
    assert unit_name("nodrop") == unit_name("nodrop.service") == "nodrop.service"


@pytest.mark.parametrize("user", [True, False])
def test_systemd_reads_it(tmp_path: Path, user: bool) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here (apt-get install systemd)")
    unit = Unit(
        name="nodrop.service",
        user=user,
        python="/bin/true",
        state=tmp_path / "a state",
        folder=tmp_path,
        path="/usr/bin:/bin",
        arguments=("--bind", "::1"),
    )
    file = tmp_path / "nodrop.service"
    file.write_text(unit.text())
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_written_and_removed_where_systemd_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("nodrop.cli.systemd._BOOTED", tmp_path / "not booted")
    arguments = ("--user", "--state", str(tmp_path / "s"))
    code, text = run("install", *arguments)
    file = tmp_path / "systemd" / "user" / "nodrop.service"
    assert code == 0
    assert file.read_text().startswith("[Unit]")
    assert "systemctl --user enable --now nodrop.service" in text
    assert "enable-linger" in text
    code, text = run("uninstall", "--user")
    assert (code, file.exists()) == (0, False)
    code, text = run("uninstall", "--user")
    assert code == 1
    assert "nothing was removed" in text
