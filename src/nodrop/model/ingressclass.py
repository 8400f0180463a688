"""Which Ingresses are this engine's: the one rule of the proxy, the controller and admission."""

from __future__ import annotations

from collections.abc import Iterable

from nodrop.model.meta import Obj, annotations_of

#: The name of the class that every engine's store holds, and the controller it names.
CLASS = "nodrop"
CONTROLLER = "nodrop.dev/ingress"
DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def is_ours(ingress: Obj, classes: Iterable[Obj]) -> bool:
    """Whether this engine serves the Ingress.

    It is the only controller on the machine, so a class that no IngressClass object describes
    (``nginx`` in a manifest made for a cluster) is served too; one that names another
    controller is not. Without a class, a default class decides if there is one.
    """
    name = class_name(ingress)
    if name:
        chosen = [one for one in classes if one["metadata"]["name"] == name]
    else:
        chosen = [one for one in classes if is_default(one)]
    return not chosen or any(
        (one.get("spec") or {}).get("controller") == CONTROLLER for one in chosen
    )


def class_name(ingress: Obj) -> str:
    """The class an Ingress asks for, or ""; the field wins over the older annotation."""
    asked = (ingress.get("spec") or {}).get("ingressClassName")
    name: str = asked or annotations_of(ingress).get(_CLASS_ANNOTATION) or ""
    return name


def is_default(ingress_class: Obj) -> bool:
    return annotations_of(ingress_class).get(DEFAULT_ANNOTATION) == "true"


def default_class(classes: Iterable[Obj]) -> str:
    """The class that a new Ingress without any gets, or "": the newest default, then by name."""
    defaults = sorted((one for one in classes if is_default(one)), key=_name)
    newest = max((_created(one) for one in defaults), default="")
    return next((_name(one) for one in defaults if _created(one) == newest), "")


def _name(ingress_class: Obj) -> str:
    name: str = ingress_class["metadata"]["name"]
    return name


def _created(ingress_class: Obj) -> str:
    created: str = ingress_class["metadata"].get("creationTimestamp") or ""
    return created
