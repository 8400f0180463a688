"""``nodrop check`` as a command: exit codes, formats, mends in place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodrop.cli.check import check

ROOT = Path(__file__).parents[3]
GOOD = (ROOT / "tests/unit/check/well_made/go-distroless.yaml").read_text()
BAD = GOOD.replace("  replicas: 3\n", "  replicas: 3\n  replica: 4\n").replace(
    "seconds: 8", "seconds: 2"
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(check, arguments, input=stdin)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["good.yaml"], 0),
        (["bad.yaml"], 1),
        (["bad.yaml", "--ignore", "ND7,ND302"], 0),
        (["bad.yaml", "--select", "ND1"], 0),
        (["bad.yaml", "--ignore", "ND701"], 1),
        (["bad.yaml", "--ignore", "ND701", "--fail-on", "error"], 0),
        (["bad.yaml", "--ignore", "ND701", "--target", "nodrop"], 0),
        (["bad.yaml", "--ignore", "ND701", "--propagation-s", "2"], 0),
        (["good.yaml", "--longest-request-s", "30"], 1),
        (["gone.yaml"], 2),
        (["good.yaml", "gone.yaml"], 2),
        ([], 2),
        (["good.yaml", "--select", "ND999"], 2),
        (["good.yaml", "--peak-utilisation", "70"], 2),
        (["good.yaml", "--config", "gone.toml"], 2),
        (["-", "--fix"], 2),
    ],
)
def test_exit_codes(arguments: list[str], code: int) -> None:
    done = run(*arguments, stdin=BAD)
    assert done.exit_code == code, done.output


def test_standard_input_is_judged() -> None:
    done = run("-", stdin=BAD)
    assert done.exit_code == 1
    assert done.stdout.startswith("<stdin>:8:3: error ND701 Deployment search\n")


def test_nothing_is_said_of_findings_where_nothing_could_be_read() -> None:
    done = run("-")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: <stdin>: holds no Kubernetes object\n"
    assert json.loads(run("-", "--format", "json").stdout)["problems"] != []


def test_nothing_is_coloured_where_nobody_looks() -> None:
    assert "\x1b" not in run("bad.yaml").output
    coloured = CliRunner().invoke(check, ["bad.yaml"], color=True).output
    assert "\x1b" in coloured
    plain = CliRunner(env={"NO_COLOR": "1"}).invoke(check, ["bad.yaml"], color=True).output
    assert "\x1b" not in plain


def test_json_is_nothing_but_json() -> None:
    done = run("bad.yaml", "gone.yaml", "--format", "json")
    told = json.loads(done.stdout)
    assert [one["rule"] for one in told["findings"]] == ["ND701", "ND302"]
    assert done.stderr == "error: gone.yaml: no such file or directory\n"


def test_fix_mends_in_place_and_says_what_is_left(tmp_path: Path) -> None:
    shown = run("bad.yaml", "--diff")
    assert shown.exit_code == 0
    assert "-                seconds: 2" in shown.stdout
    assert (tmp_path / "bad.yaml").read_text() == BAD
    mended = run("bad.yaml", "--fix")
    assert "mended: bad.yaml" in mended.stderr
    text = (tmp_path / "bad.yaml").read_text()
    assert "seconds: 5" in text
    assert "replica: 4" in text  # the right name stands there too: which is meant?
    assert mended.exit_code == 1
    assert run("bad.yaml", "--fix").stderr == ""
    assert (tmp_path / "bad.yaml").read_text() == text


def test_fix_keeps_line_ends_and_the_mark_at_the_beginning(tmp_path: Path) -> None:
    raw = b"\xef\xbb\xbf" + BAD.replace("\n", "\r\n").encode()
    (tmp_path / "dos.yaml").write_bytes(raw)
    run("dos.yaml", "--fix")
    mended = (tmp_path / "dos.yaml").read_bytes()
    assert mended == raw.replace(b"seconds: 2", b"seconds: 5")


def test_settings_come_from_the_nearest_file_and_flags_win(tmp_path: Path) -> None:
    (tmp_path / "nodrop.toml").write_text('[check]\nignore = ["ND701"]\npropagation-s = 1\n')
    assert run("bad.yaml").exit_code == 0
    assert run("bad.yaml", "--propagation-s", "5").exit_code == 1
    (tmp_path / "nodrop.toml").write_text('[check.per-path-ignores]\n"bad*" = ["ND"]\n')
    assert run("bad.yaml").exit_code == 0
    (tmp_path / "nodrop.toml").write_text("[check]\nignroe = []\n")
    done = run("bad.yaml")
    assert done.exit_code == 2
    assert 'unknown key ignroe: did you mean "ignore"?' in done.stderr


REFUSED = """\
apiVersion: batch/v1
kind: Job
metadata: {name: once}
---
apiVersion: v1
kind: Pod
metadata: {name: image}
spec: {containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Pod
metadata: {name: broken}
spec: {containers: 7}
"""


def test_for_nodrop_alone_it_is_told_what_nodrop_up_would_refuse() -> None:
    told = run("-", "--target", "nodrop", "--ignore", "ND7", stdin=REFUSED)
    notes = [line for line in told.output.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2  # wrong types are a finding, not a note
    assert notes[0].startswith("note: nodrop up would refuse this: <stdin>:1: Job once: kind: ")
    assert "<stdin>:5: Pod image: spec.containers[0].command: Required value" in notes[1]
    assert told.exit_code == 0
    assert "note: " not in run("-", stdin=REFUSED).output  # a cluster takes them
