"""Files that a main process starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodrop.proxy.haproxy.files import MainFiles
from nodrop.proxy.haproxy.slots import AUTHORITY_FOLDER
from nodrop.proxy.protocol import ProxyFailure

PEM = f"{AUTHORITY_FOLDER}/a.pem"


async def test_what_is_named_no_more_is_removed_and_can_come_back(tmp_path: Path) -> None:
    files = MainFiles(tmp_path)
    for text in ("one", "two"):
        await files.keep({PEM: text, "x.cfg": text}, wait=True)
        assert (tmp_path / PEM).read_text() == text
        await files.keep({"x.cfg": text}, wait=True)
        assert not (tmp_path / PEM).exists()


async def test_a_folder_that_cannot_be_made_is_a_failure_of_the_proxy(tmp_path: Path) -> None:
    """Nothing else may end the loop that follows the cache."""
    files = MainFiles(tmp_path)
    in_the_way = tmp_path / AUTHORITY_FOLDER
    in_the_way.write_text("")
    with pytest.raises(ProxyFailure, match="can't write"):
        await files.keep({PEM: "one"}, wait=True)
    in_the_way.unlink()
    await files.keep({PEM: "one"}, wait=True)
    assert (tmp_path / PEM).read_text() == "one"
