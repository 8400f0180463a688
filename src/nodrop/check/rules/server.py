"""ND4, second half: servers that are known, and how they end. Pure.

Each entry says what the server does on SIGTERM and where that is written. It counts only where
the manifest's command shows the server and no setting in the manifest mends it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodrop.check.bundle import Workload
from nodrop.check.finding import Hit, Level
from nodrop.check.position import Path
from nodrop.check.rules.case import Case
from nodrop.check.rules.words import number, option, program, split, unwrapped
from nodrop.check.views import Container, dig, hook_length_s, words


@dataclass(frozen=True, slots=True)
class Server:
    """One server. ``shown`` sees whether a container's command is one that ends badly."""

    name: str
    shown: Callable[[Container, tuple[str, ...]], bool]
    does: str
    mend: str
    source: str
    level: Level | None = None


def _is(command: tuple[str, ...], *names: str) -> bool:
    return bool(command) and program(command[0]) in names


def _nginx(container: Container, command: tuple[str, ...]) -> bool:
    """The official images set STOPSIGNAL SIGQUIT; others and our processes get SIGTERM."""
    repository = container.image.partition("@")[0].rsplit(":", 1)[0]
    official = repository.rsplit("/", 1)[-1] in {"nginx", "nginx-unprivileged"}
    return _is(command, "nginx") and not official and container.stop_signal != "SIGQUIT"


def _apache(container: Container, command: tuple[str, ...]) -> bool:
    official = any(name in container.image for name in ("httpd", "php"))
    names = (
        "apache2-foreground",
        "httpd-foreground",
        "httpd",
        "apache2",
        "apache2ctl",
        "apachectl",
    )
    return _is(command, *names) and not official and container.stop_signal != "SIGWINCH"


def _php(container: Container, command: tuple[str, ...]) -> bool:
    return bool(command) and program(command[0]).startswith("php-fpm")


def _spring(container: Container, command: tuple[str, ...]) -> bool:
    """Graceful by default since Spring Boot 3.4; here somebody says that it is not to be."""
    told = " ".join((*container.words, *(f"{k}={v}" for k, v in container.env.items())))
    return bool(re.search(r"(server\.shutdown|SERVER_SHUTDOWN)=immediate", told))


def _development(container: Container, command: tuple[str, ...]) -> bool:
    flask = _is(command, "flask") and "run" in command[1:]
    django = "manage.py" in " ".join(command[:2]) and "runserver" in command
    plain = _is(command, "http.server")
    php = _is(command, "php") and "-S" in command
    return flask or django or plain or php


#: Servers that drop requests in flight on SIGTERM.
ENDS_AT_ONCE = (
    Server(
        "nginx",
        _nginx,
        "takes SIGTERM as fast shutdown and cuts requests in flight",
        "let it get SIGQUIT: lifecycle.stopSignal: SIGQUIT, STOPSIGNAL SIGQUIT in the image, or "
        "preStop with nginx -s quit behind the sleep",
        "nginx.org/en/docs/control.html: TERM fast shutdown, QUIT graceful shutdown",
    ),
    Server(
        "Apache httpd",
        _apache,
        "takes SIGTERM as stop now and cuts requests in flight",
        "let it get SIGWINCH (graceful-stop): lifecycle.stopSignal: SIGWINCH, or STOPSIGNAL in "
        "the image",
        "httpd.apache.org/docs/2.4/stopping.html; docker-library/php sets STOPSIGNAL SIGWINCH",
    ),
    Server(
        "waitress",
        lambda _container, command: _is(command, "waitress-serve", "waitress"),
        "has no handler for SIGTERM: it ends at once with its requests, and as process 1 it never "
        "ends by itself",
        "use a server that ends gracefully, such as gunicorn, or a handler for SIGTERM that closes "
        "the server",
        "seen with waitress 3.0: a request in flight gets an empty reply, exit code 143",
    ),
    Server(
        "php-fpm",
        _php,
        "ends its children at once, whatever the signal, unless process_control_timeout is set "
        "(default 0)",
        "set process_control_timeout to what requests need, e.g. 20s, in its [global] section, and "
        "let it get SIGQUIT (the official images do)",
        "php.net/manual/en/install.fpm.configuration.php",
        "info",
    ),
    Server(
        "Spring Boot",
        _spring,
        "with server.shutdown=immediate drops requests in flight on SIGTERM",
        "use server.shutdown=graceful (the default since 3.4)",
        "docs.spring.io/spring-boot/reference/web/graceful-shutdown.html",
    ),
    Server(
        "a development server",
        _development,
        "ends at once on SIGTERM, with its requests",
        "use a server for production, e.g. gunicorn or uvicorn",
        "flask.palletsprojects.com/deploying, docs.djangoproject.com: not for production",
    ),
)


def application_ends_at_once(case: Case) -> Iterator[Hit]:
    for workload, container in case.serving_containers():
        command = unwrapped(container.words)
        hook = " ".join(_hook_words(container))
        for server in ENDS_AT_ONCE:
            if not server.shown(container, command) or "quit" in hook or "graceful-stop" in hook:
                continue
            yield Hit(
                document=workload.document,
                path=_command_path(container),
                message=f"{server.name} {server.does} ({server.source})",
                mend=server.mend,
                level=server.level,
            )


@dataclass(frozen=True, slots=True)
class TimeOut:
    """How a server bounds its own ending: by an option or an environment variable."""

    server: str
    options: tuple[str, ...]
    variables: tuple[str, ...] = ()
    source: str = ""
    for_ever: bool = False  # without the option it waits until the last connection is over


_SPRING = "spring.lifecycle.timeout-per-shutdown-phase"
#: What bounds the ending, by program.
TIME_OUTS = {
    "gunicorn": TimeOut("gunicorn", ("--graceful-timeout",), source="default 30"),
    "hypercorn": TimeOut("hypercorn", ("--graceful-timeout",), source="default 3"),
    "uvicorn": TimeOut(
        "uvicorn", ("--timeout-graceful-shutdown",), source="its default is none", for_ever=True
    ),
    "java": TimeOut(
        "Spring Boot",
        (f"--{_SPRING}", f"-D{_SPRING}"),
        ("SPRING_LIFECYCLE_TIMEOUTPERSHUTDOWNPHASE", "SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE"),
        "default 30s",
    ),
    "dotnet": TimeOut(
        ".NET",
        ("--shutdownTimeoutSeconds",),
        ("DOTNET_SHUTDOWNTIMEOUTSECONDS", "ASPNETCORE_SHUTDOWNTIMEOUTSECONDS"),
        "HostOptions.ShutdownTimeout, default 30 s since .NET 6",
    ),
}


def application_outlasts_grace(case: Case) -> Iterator[Hit]:
    for shown in _with_time_out(case):
        given, grace, hook = shown.given_s, shown.workload.pod.grace_s, shown.hook_s
        if given is None or grace <= 0 or hook >= grace or hook + given <= grace:
            continue
        yield Hit(
            document=shown.workload.document,
            path=_command_path(shown.container),
            message=f"{shown.known.server} may take {given:g} s to end ({shown.given_by}) after a "
            f"preStop hook of {hook:g} s, but the grace period is {grace} s: SIGKILL comes "
            f"{hook + given - grace:g} s too early",
            mend=f"set terminationGracePeriodSeconds: {math.ceil(hook + given)} or lower "
            f"{shown.given_by}",
        )


def application_waits_for_ever(case: Case) -> Iterator[Hit]:
    for shown in _with_time_out(case):
        if not shown.known.for_ever or shown.given_by:
            continue
        option_name = shown.known.options[0]
        left = max(0.0, shown.workload.pod.grace_s - shown.hook_s)
        yield Hit(
            document=shown.workload.document,
            path=_command_path(shown.container),
            message=f"{shown.known.server} without {option_name} waits until the last connection "
            f"is over ({shown.known.source}): one that stays open keeps the pod until SIGKILL "
            f"{left:g} s after SIGTERM, and its shutdown handlers don't run",
            mend=f"add {option_name} {max(1, math.floor(left) - 5)}",
        )


RULES = {
    "ND404": application_ends_at_once,
    "ND405": application_outlasts_grace,
    "ND406": application_waits_for_ever,
}

# Private


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A server that a command shows, and the time-out that stands beside it."""

    workload: Workload
    container: Container
    known: TimeOut
    given_by: str
    given_s: float | None

    @property
    def hook_s(self) -> float:
        return hook_length_s(self.container.pre_stop) or 0.0


def _with_time_out(case: Case) -> Iterator[_Shown]:
    for workload, container in case.serving_containers():
        command = unwrapped(container.words)
        if not command or not (known := TIME_OUTS.get(program(command[0]))):
            continue
        args = container.env.get("GUNICORN_CMD_ARGS", "") if known.server == "gunicorn" else ""
        found = [(name, option((*command, *split(args)), name)) for name in known.options]
        found += [(name, container.env.get(name)) for name in known.variables]
        given = next(((name, value) for name, value in found if value is not None), ("", None))
        yield _Shown(
            workload=workload,
            container=container,
            known=known,
            given_by=given[0],
            given_s=number(given[1]),
        )


def _command_path(container: Container) -> Path:
    return (*container.path, "command" if container.command else "args")


def _hook_words(container: Container) -> tuple[str, ...]:
    return words(dig(container.pre_stop, "exec", "command"))
