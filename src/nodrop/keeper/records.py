"""Records of processes on disk: one JSON file each, whole or not there at all."""

from __future__ import annotations

import json
import os

from nodrop.keeper.loop import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SUFFIX = ".json"


class Records:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def save(self, id: str, record: dict[str, Any], *, durable: bool) -> None:
        """Write and rename. ``durable`` waits for the disk: exit codes survive a power cut."""
        path = self._path(id)
        temporary = path + ".new"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(record).encode())
            if durable:
                file.flush()
                os.fsync(fd)
        os.replace(temporary, path)

    def load(self) -> list[dict[str, Any]]:
        """All readable records; a broken file is named in the log and left where it is."""
        records = []
        for name in sorted(os.listdir(self._folder)):
            if name.endswith(_SUFFIX):
                path = os.path.join(self._folder, name)
                try:
                    with open(path, "rb") as file:
                        records.append(json.loads(file.read()))
                except (OSError, ValueError) as error:
                    complain(f"record {path} can't be read: {error}")
        return records

    def remove(self, id: str) -> None:
        try:
            os.unlink(self._path(id))
        except FileNotFoundError:
            pass

    def _path(self, id: str) -> str:
        return os.path.join(self._folder, id + _SUFFIX)
