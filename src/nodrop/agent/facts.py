"""What a pod's environment and volumes may ask for: facts of the node, ConfigMaps, Secrets."""

from __future__ import annotations

from nodrop.agent.plan.env import Lookup, PodFacts, Source
from nodrop.agent.pod_context import PodContext
from nodrop.model.kinds import CONFIGMAP, SECRET
from nodrop.model.meta import Obj, ObjectKey


def facts_of(pod: PodContext) -> PodFacts:
    settings = pod.host.settings
    return PodFacts(
        pod.ip,
        settings.host_ip,
        settings.node,
        pod.spec.service_account,
        cpus=settings.cpus,
        memory_bytes=settings.memory_bytes,
    )


def lookup_of(pod: PodContext) -> Lookup:
    """Reads ConfigMaps and Secrets of the pod's namespace from the cache."""
    cache, namespace = pod.host.cache, pod.key.namespace

    def lookup(source: Source, name: str) -> Obj | None:
        return cache.get(ObjectKey(CONFIGMAP if source == "ConfigMap" else SECRET, namespace, name))

    return lookup
