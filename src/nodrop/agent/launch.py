"""From a container of a pod to what the runtime starts."""

from __future__ import annotations

from dataclasses import dataclass

from nodrop.agent.facts import facts_of, lookup_of
from nodrop.agent.plan.command import (
    BASE_DIR_ANNOTATION,
    container_argv,
    missing_command,
    working_folder,
)
from nodrop.agent.plan.env import (
    TERMINAL_ENV,
    ConfigurationError,
    Environment,
    container_environment,
    hostname_of,
)
from nodrop.agent.plan.spec import Container
from nodrop.agent.pod_context import PodContext
from nodrop.agent.pod_volumes import PodVolumes
from nodrop.agent.runtime.protocol import ContainerId, ContainerSpec
from nodrop.events import Reason
from nodrop.model.kinds import SERVICE
from nodrop.model.meta import annotations_of


@dataclass(frozen=True, slots=True)
class Launch:
    """``skipped``: sentences about keys that can't be variables, for an Event."""

    spec: ContainerSpec
    skipped: tuple[str, ...]


def container_id(uid: str, name: str, attempt: int) -> ContainerId:
    return ContainerId(f"{uid}_{name}_{attempt}")


def attempt_of(id: ContainerId) -> int:
    """The restart count in a container id."""
    return int(id.rsplit("_", 1)[1])


def prepare_launch(
    pod: PodContext, volumes: PodVolumes, container: Container, attempt: int
) -> Launch:
    """All that the runtime needs. Raises ConfigurationError when something is missing."""
    host = pod.host
    environment = _environment(pod, container)
    base_dir = annotations_of(pod.pod).get(BASE_DIR_ANNOTATION) or host.settings.base_dir
    cwd = working_folder(container, base_dir)
    argv = container_argv(container, environment.own, cwd=cwd)
    if argv is None:
        raise ConfigurationError(missing_command(container), Reason.MISSING_COMMAND)
    spec = ContainerSpec(
        id=container_id(pod.uid, container.name, attempt),
        pod_uid=pod.uid,
        name=container.name,
        argv=argv,
        env={
            **_inherited(pod),
            **(TERMINAL_ENV if container.tty else {}),
            **environment.own,
        },
        cwd=cwd,
        pod_ip=pod.ip,
        log_path=host.folders.log_path(pod.uid, container.name, attempt),
        labels={
            "namespace": pod.key.namespace,
            "pod": pod.key.name,
            "container": container.name,
        },
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        tty=container.tty,
        mounts=volumes.mounts(container, attempt, environment.own),
    )
    return Launch(spec, environment.skipped)


def _inherited(pod: PodContext) -> dict[str, str]:
    """What every process gets beside the manifest's environment."""
    settings = pod.host.settings
    inherited = {
        "PATH": settings.path,
        "HOME": settings.home,
        "LANG": settings.lang,
        "HOSTNAME": hostname_of(pod.pod, settings.node),
        "TMPDIR": pod.host.folders.prepare(pod.uid),
    }
    if not pod.host.redirects:
        inherited["POD_IP"] = pod.ip
    if pod.spec.account_tokens:
        host, port = pod.host.api.address()
        inherited["KUBERNETES_SERVICE_HOST"] = host
        inherited["KUBERNETES_SERVICE_PORT"] = inherited["KUBERNETES_SERVICE_PORT_HTTPS"] = str(
            port
        )
    return inherited


def _environment(pod: PodContext, container: Container) -> Environment:
    services = pod.host.cache.list(SERVICE, pod.key.namespace) if pod.spec.service_links else ()
    return container_environment(
        container,
        pod.pod,
        facts=facts_of(pod),
        lookup=lookup_of(pod),
        services=services,
    )
