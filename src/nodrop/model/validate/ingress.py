"""Rules for Ingresses and IngressClasses (semantics 4.4)."""

from __future__ import annotations

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj, annotations_of
from nodrop.model.validate.causes import immutable, invalid, one_of, required
from nodrop.model.validate.names import (
    dns_1035_label,
    dns_subdomain,
    is_ip,
    port_name,
    port_number,
    url_path,
    wildcard_subdomain,
)

PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")


def validate_ingress(obj: Obj) -> list[Cause]:
    """Causes for an Ingress."""
    spec = obj.get("spec") or {}
    causes = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        text = "either `defaultBackend` or `rules` must be specified"
        causes.append(invalid("spec", spec, text))
    for index, entry in enumerate(spec.get("tls") or ()):
        causes += _tls(entry, f"spec.tls[{index}]")
    for index, rule in enumerate(spec.get("rules") or ()):
        causes += _rule(rule, f"spec.rules[{index}]")
    if spec.get("defaultBackend") is not None:
        causes += _backend(spec["defaultBackend"], "spec.defaultBackend")
    name = spec.get("ingressClassName")
    if name is not None:
        causes += [invalid("spec.ingressClassName", name, text) for text in dns_subdomain(name)]
    return causes


def validate_new_ingress(obj: Obj) -> list[Cause]:
    """An old object may have both ways to name its class; a new one may not."""
    annotation = annotations_of(obj).get(CLASS_ANNOTATION)
    if annotation is None or (obj.get("spec") or {}).get("ingressClassName") is None:
        return []
    text = "can not be set when the class field is also set"
    return [invalid(f"annotations.{CLASS_ANNOTATION}", annotation, text)]


def _tls(entry: Obj, path: str) -> list[Cause]:
    causes = []
    for index, host in enumerate(entry.get("hosts") or ()):
        check = wildcard_subdomain if "*" in host else dns_subdomain
        causes += [invalid(f"{path}.hosts[{index}]", host, text) for text in check(host)]
    secret = entry.get("secretName")
    if secret:
        causes += [invalid(f"{path}.secretName", secret, text) for text in dns_subdomain(secret)]
    return causes


def _rule(rule: Obj, path: str) -> list[Cause]:
    causes = []
    host = rule.get("host")
    if host:
        at = f"{path}.host"
        if is_ip(host):
            causes.append(invalid(at, host, "must be a DNS name, not an IP address"))
        else:
            check = wildcard_subdomain if "*" in host else dns_subdomain
            causes += [invalid(at, host, text) for text in check(host)]
    if rule.get("http") is None:
        return causes
    paths = rule["http"].get("paths")
    if not paths:
        return [*causes, required(f"{path}.http.paths")]
    for index, entry in enumerate(paths):
        causes += _path(entry, f"{path}.http.paths[{index}]")
    return causes


def _path(entry: Obj, path: str) -> list[Cause]:
    kind, at, text = entry.get("pathType"), f"{path}.path", entry.get("path") or ""
    causes = []
    if not kind:
        causes.append(required(f"{path}.pathType", "pathType must be specified"))
    else:
        causes += one_of(f"{path}.pathType", kind, PATH_TYPES)
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            causes.append(invalid(at, text, "must be an absolute path"))
        for sequence in _BAD_SEQUENCES:
            if sequence in text:
                causes.append(invalid(at, text, f"must not contain '{sequence}'"))
        for suffix in _BAD_SUFFIXES:
            if text.endswith(suffix):
                causes.append(invalid(at, text, f"cannot end with '{suffix}'"))
    elif text and not text.startswith("/"):
        causes.append(invalid(at, text, "must be an absolute path"))
    causes += [invalid(at, text, sentence) for sentence in url_path(text)]
    return causes + _backend(entry.get("backend") or {}, f"{path}.backend")


def _backend(backend: Obj, path: str) -> list[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return []
    service = service or {}
    name, port = service.get("name"), service.get("port") or {}
    at = f"{path}.service.name"
    causes = [invalid(at, name, text) for text in dns_1035_label(name or "")]
    return (causes if name else [required(at)]) + _backend_port(port, f"{path}.service.port")


def _backend_port(port: Obj, path: str) -> list[Cause]:
    name, number = port.get("name"), port.get("number")
    if name and number:
        return [invalid(path, port, "cannot set both port name & port number")]
    if name:
        return [invalid(f"{path}.name", name, text) for text in port_name(name)]
    if number:
        return [invalid(f"{path}.number", number, text) for text in port_number(number)]
    return [required(path, "port name or number is required")]


def validate_ingressclass(obj: Obj) -> list[Cause]:
    """Causes for an IngressClass: it must name its controller as ``example.com/controller``."""
    controller = (obj.get("spec") or {}).get("controller")
    if not controller:
        return [required("spec.controller")]
    domain, slash, rest = controller.partition("/")
    if not slash or not rest:
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [invalid("spec.controller", controller, text)]
    return [invalid("spec.controller", domain, text) for text in dns_subdomain(domain)]


def validate_ingressclass_update(new: Obj, old: Obj) -> list[Cause]:
    controller = (new.get("spec") or {}).get("controller")
    return immutable("spec.controller", controller, (old.get("spec") or {}).get("controller"))
