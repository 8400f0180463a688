"""``nodrop sim``: what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nodrop.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give a SEED"),
        (("--seeds", "0"), "0 is not in the range x>=1"),
        (("--minutes", "0"), "0.0 is not in the range x>0"),
        (("--file", "missing.txt"), "File 'missing.txt' does not exist"),
        (("--file", "."), "is a directory"),
        (("--file", "words.txt"), "words.txt is no seed file"),
    ],
)
def test_what_is_refused(
    arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("no scenario")
    done = CliRunner().invoke(main, ["sim", *arguments])
    assert done.exit_code == 2
    assert says in done.stderr
