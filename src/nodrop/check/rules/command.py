"""ND4, first half: who gets SIGTERM. Pure.

Only what the manifest's own command shows is judged: a command that comes with the image is
unknown here, and silence is better than a guess.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodrop.check.bundle import Workload
from nodrop.check.finding import Hit, Prefix
from nodrop.check.position import Path
from nodrop.check.rules.case import Case
from nodrop.check.rules.words import INITS, is_single, last_command, program, script_of
from nodrop.check.views import Container

_RUNNERS = frozenset({"npm", "npx", "yarn", "pnpm"})
_ENTRYPOINTS = ("docker-entrypoint.sh",)  # the official images' ones end in exec "$@"


def shell_swallows_sigterm(case: Case) -> Iterator[Hit]:
    for workload, container in _first_processes(case):
        found = script_of(container.words)
        if found is None:
            continue
        index, script = found
        last = last_command(script)
        if "trap " in script or not last or last[0] in {"exec", "wait"}:
            continue
        single = is_single(script)
        why = (
            "not every shell makes way for a single command (bash and newer dash do, BusyBox "
            "does not)"
            if single
            else "it stays and waits for the last command"
        )
        yield Hit(
            document=workload.document,
            path=_word_path(container, index),
            message=f"{program(container.words[0])} -c is process 1 and gets SIGTERM; {why}, and "
            f"does not pass it on: {program(last[0])} goes on until SIGKILL after "
            f"{workload.pod.grace_s} s, with whatever it is doing then",
            mend="write exec before the last command, or give the program itself as command",
            fix=(Prefix(_word_path(container, index), "exec "),) if single else (),
        )


def package_runner(case: Case) -> Iterator[Hit]:
    for workload, container in _first_processes(case):
        command = _started(container)
        if not command or program(command[0]) not in _RUNNERS:
            continue
        name = program(command[0])
        yield Hit(
            document=workload.document,
            path=_command_path(container),
            message=f"{name} gets SIGTERM and stands, with a shell, between it and the "
            "application: depending on the version it is not passed on at all, or the container "
            "ends before the application has finished",
            mend=f"run the program itself, e.g. command: [node, server.js], instead of "
            f"{' '.join(command[:3])}",
        )


def node_as_pid_1(case: Case) -> Iterator[Hit]:
    for workload, container in _first_processes(case):
        command = container.words
        shared = workload.pod.spec.get("shareProcessNamespace") is True
        if not command or program(command[0]) not in {"node", "nodejs"} or shared:
            continue
        yield Hit(
            document=workload.document,
            path=_command_path(container),
            message="node is process 1: the kernel ignores SIGTERM for it unless the application "
            f"has a handler, and then the pod ends by SIGKILL after {workload.pod.grace_s} s",
            mend="make sure of process.on('SIGTERM', () => server.close(…)); or run it under tini",
        )


def entrypoint_script(case: Case) -> Iterator[Hit]:
    for workload, container in _first_processes(case):
        command = container.words
        name = program(command[0]) if command else ""
        if not name.endswith(".sh") or name in _ENTRYPOINTS:
            continue
        yield Hit(
            document=workload.document,
            path=_command_path(container),
            message=f"{name} is process 1 and gets SIGTERM; unless its last line begins with exec, "
            "the application never hears of it",
            mend='end the script with exec, e.g. exec "$@"',
        )


RULES = {
    "ND401": shell_swallows_sigterm,
    "ND402": package_runner,
    "ND403": node_as_pid_1,
    "ND407": entrypoint_script,
}

# Private


def _first_processes(case: Case) -> Iterator[tuple[Workload, Container]]:
    """Serving containers whose command stands in the manifest."""
    for workload, container in case.serving_containers():
        if container.command:
            yield workload, container


def _started(container: Container) -> tuple[str, ...]:
    """The command behind an init: ``tini -- npm start`` starts npm."""
    command = container.words
    if command and program(command[0]) in INITS:
        command = command[1:]
        while command and command[0].startswith("-"):
            command = command[1:]
    return command


def _command_path(container: Container) -> Path:
    return (*container.path, "command")


def _word_path(container: Container, index: int) -> Path:
    """Where the word with this number stands: in command, or behind it in args."""
    if index < len(container.command):
        return (*container.path, "command", index)
    return (*container.path, "args", index - len(container.command))
