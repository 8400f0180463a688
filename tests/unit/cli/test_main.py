"""How commands end that did not get far."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from nodrop.cli.main import COMMANDS, main
from nodrop.cli.session import Failure, Interrupted, end


def test_ctrl_c_while_a_command_is_imported_is_one_line_and_130(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nodrop.cli.main.importlib.import_module", interrupted)
    done = CliRunner().invoke(main, ["status"])
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Failure("no", hint="yes", code=3), 3, "error: no\nhint: yes\n"),
        (ExceptionGroup("work", [ExceptionGroup("in it", [Failure("no")])]), 1, "error: no\n"),
        (Interrupted("the rollout goes on"), 130, "interrupted: the rollout goes on\n"),
        (Interrupted(""), 130, "interrupted\n"),
    ],
)
def test_errors_end_in_a_sentence_and_a_code(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        end(error)
    assert ended.value.code == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_of_help_is_cut(name: str) -> None:
    """click cuts a command's first sentence with dots where its short_help is missing."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    listed = command.commands.values() if isinstance(command, click.Group) else [command]
    assert not [one.name for one in listed if one.get_short_help_str().endswith("...")]


def test_a_report_in_a_pipe_keeps_its_lines_whole(capsys: pytest.CaptureFixture[str]) -> None:
    from nodrop.cli.demo import _print

    line = "verdict: pass: " + "every request was answered, and pods ended under load; " * 3
    assert len(line) > 80
    _print(line)
    assert capsys.readouterr().out.count("\n") == 1
