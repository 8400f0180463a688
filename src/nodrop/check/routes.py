"""Which Ingress gets a host and path that several ask for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from nodrop.model.ingressclass import is_ours
from nodrop.model.ingressoptions import IngressOptions, is_canary, read_options
from nodrop.model.ingresspaths import BadPath, read_path
from nodrop.model.meta import Obj

_PLAIN = IngressOptions()


class Claim(NamedTuple):
    """A host ("" is any), a path and whether it is exact, as the proxy compares them."""

    host: str
    path: str
    exact: bool

    def __str__(self) -> str:
        exactly = " (exact)" if self.exact else ""
        return f"host {self.host or '*'} path {self.path}{exactly}"


#: What a default backend claims: everything that no rule does.
DEFAULT = Claim("", "", False)


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A rule that has no effect, because an older Ingress has it."""

    ingress: Obj
    claim: Claim
    owner: Obj

    def __str__(self) -> str:
        what = "the default backend" if self.claim == DEFAULT else str(self.claim)
        return f"Ingress {_named(self.ingress)}: {what} already belongs to {self.told_owner}"

    @property
    def told_owner(self) -> str:
        return f"Ingress {_named(self.owner)} (older)"


def owners_of(ingresses: Iterable[Obj], classes: Iterable[Obj] = ()) -> dict[Claim, Obj]:
    """Who gets each host and path: of those this engine serves, the oldest; then by name.

    A default backend beside rules serves all other hosts only if no Ingress is made for that.
    """
    known = tuple(classes)
    owners: dict[Claim, Obj] = {}
    ours = sorted((one for one in ingresses if is_ours(one, known)), key=_age)
    for ingress in ours:
        for claim in claims_of(ingress):
            owners.setdefault(claim, ingress)
    for ingress in ours:
        if (ingress.get("spec") or {}).get("defaultBackend") and not is_canary(ingress):
            owners.setdefault(DEFAULT, ingress)
    return owners


def shadowed(ingresses: Iterable[Obj], classes: Iterable[Obj] = ()) -> list[Shadowed]:
    """Every rule that another Ingress has already."""
    found, known = tuple(ingresses), tuple(classes)
    owners = owners_of(found, known)
    return [
        Shadowed(ingress, claim, owners[claim])
        for ingress in found
        for claim in dict.fromkeys(claims_of(ingress))
        if claim in owners and is_ours(ingress, known) and _age(owners[claim]) != _age(ingress)
    ]


def claims_of(ingress: Obj) -> Iterator[Claim]:
    """What it asks for alone; a canary adds to another's rules."""
    options = read_options(ingress)
    if options.canary is not None:
        return
    spec = ingress.get("spec") or {}
    if spec.get("defaultBackend") and not spec.get("rules"):
        yield DEFAULT
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            yield claim_of(rule.get("host") or "", path, options)


def claim_of(host: str, path: Obj, options: IngressOptions = _PLAIN) -> Claim:
    """``/a`` and ``/a/`` are the same prefix; as exact paths they are two.

    A regular expression claims its literal beginning; one that can't be served nothing else.
    """
    text, kind = path.get("path") or "/", path.get("pathType") or ""
    try:
        read = read_path(text, kind, options)
    except BadPath:
        return Claim(host.lower(), text, False)
    return Claim(host.lower(), read.prefix, read.exact)


# Private


def _age(ingress: Obj) -> tuple[str, str, str]:
    meta = ingress["metadata"]
    return meta.get("creationTimestamp") or "", meta.get("namespace") or "", meta["name"]


def _named(ingress: Obj) -> str:
    meta = ingress["metadata"]
    namespace = meta.get("namespace") or "default"
    return str(meta["name"]) if namespace == "default" else f"{namespace}/{meta['name']}"
