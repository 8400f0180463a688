"""What a container runs and where: argv and working folder. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os.path import isabs, join, normpath

from nodrop.agent.plan.spec import Container

#: Pod annotation that ``nodrop up`` sets: the folder of the manifest.
BASE_DIR_ANNOTATION = "nodrop.dev/base-dir"

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; unknown names stay as written, ``$$`` stands for ``$``.

    >>> expand("$(A)/$(B) $$(A)", {"A": "1"})
    '1/$(B) $(A)'
    """

    def replace(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return values.get(found[1], found[0])

    return _REFERENCE.sub(replace, text)


def working_folder(container: Container, base_dir: str) -> str:
    """The container's folder: ``workingDir``, a relative one from ``base_dir``; else that."""
    return normpath(join(base_dir, container.working_dir))


def container_argv(
    container: Container, values: Mapping[str, str], *, cwd: str
) -> tuple[str, ...] | None:
    """``command`` and ``args`` expanded, or None without a command.

    ``args`` alone are the command of an image without entrypoint (``kubectl run NAME -- sh``), if
    they don't begin with an option: that is meant for an entrypoint, and there is none here.

    A relative program with a slash is meant from the working folder; a bare name is searched
    for on PATH by the runtime.
    """
    words = (*container.command, *container.args)
    if not words or (not container.command and words[0].startswith("-")):
        return None
    program, *rest = (expand(word, values) for word in words)
    if "/" in program and not isabs(program):
        program = normpath(join(cwd, program))
    return (program, *rest)


def missing_command(container: Container) -> str:
    """The sentence for a container that names no command."""
    return (
        f"{container.field}.command: Required value: nodrop runs processes: "
        "an image has no entrypoint here; give the command to run"
    )
