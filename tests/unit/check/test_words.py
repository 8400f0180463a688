"""Command lines: which program serves, and whether a shell stands before it."""

from __future__ import annotations

import pytest

from nodrop.check.rules.words import is_single, number, option, script_of, unwrapped


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("gunicorn app:app", "gunicorn app:app"),
        ("/usr/bin/tini -g -- gunicorn app:app", "gunicorn app:app"),
        ("exec gunicorn app:app", "gunicorn app:app"),
        ("env A=1 B=2 gunicorn app:app", "gunicorn app:app"),
        ("poetry run gunicorn app:app", "gunicorn app:app"),
        ("bundle exec puma -C x", "puma -C x"),
        ("python3 -m uvicorn app:app", "uvicorn app:app"),
        ("python -m http.server 80", "http.server 80"),
        ("poetry install", "poetry install"),
        ("", ""),
    ],
)
def test_the_program_that_serves(command: str, expected: str) -> None:
    assert " ".join(unwrapped(command.split())) == expected
    wrapped = ["sh", "-c", f"./migrate && exec {command}"]
    if command:
        assert " ".join(unwrapped(wrapped)) == expected


@pytest.mark.parametrize(
    ("command", "script"),
    [
        (["sh", "-c", "run it"], "run it"),
        (["/bin/bash", "-euo", "pipefail", "-c", "run it"], None),
        (["/bin/bash", "-ec", "run it"], "run it"),
        (["bash", "-e", "-c", "run it"], "run it"),
        (["bash", "run.sh"], None),
        (["sh", "-c"], None),
        (["python", "-c", "print()"], None),
        ([], None),
    ],
)
def test_a_shell_with_a_script(command: list[str], script: str | None) -> None:
    found = script_of(command)
    assert (found[1] if found else None) == script


@pytest.mark.parametrize(
    ("script", "single"),
    [
        ("./server --port 8080", True),
        ("python -c 'a; b && c'", True),
        ("  node server.js > /dev/null", True),
        ("a && b", False),
        ("a; b", False),
        ("a | b", False),
        ("a &", False),
        ("A=1 b", False),
        ("(a)", False),
        ("$(a) b", False),
        ("a\nb", False),
        ("", False),
    ],
)
def test_a_script_that_is_one_command(script: str, single: bool) -> None:
    assert is_single(script) is single


def test_options_with_and_without_an_equals_sign() -> None:
    command = ["gunicorn", "--graceful-timeout=45", "-w", "3"]
    assert number(option(command, "--graceful-timeout")) == 45
    assert option(command, "-w") == "3"
    assert option(command, "--timeout") is None
    assert option(["x", "-w"], "-w") == ""
    assert number("40s") == 40
    assert number("soon") is None
    assert number("inf") is None
