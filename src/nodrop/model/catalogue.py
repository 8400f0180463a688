"""The catalogue of served kinds: the built-in ones, and those of CustomResourceDefinitions."""

from __future__ import annotations

from collections.abc import Iterable

from nodrop.model.custom.resource import custom_kind
from nodrop.model.kinds import FORMS, KINDS, Kind, named_kind
from nodrop.model.meta import Obj


class Catalogue:
    """Kinds by their names. It follows the definitions that the store holds, and is changed by
    the store alone, in the same step as a definition: so it never contradicts them.
    """

    def __init__(self, definitions: Iterable[Obj] = ()) -> None:
        self._built_in = {kind: kind for kind in KINDS}
        self._custom: dict[str, Kind] = {}
        self._found: dict[Kind, Kind] = {}
        self._by_resource: dict[tuple[str, str, str], Kind] = {}
        self._index()
        for definition in definitions:
            self.put(definition)

    @property
    def stored(self) -> tuple[Kind, ...]:
        """All kinds that have objects, the built-in ones first."""
        return tuple(self._found)

    @property
    def custom(self) -> tuple[Kind, ...]:
        return tuple(self._custom.values())

    def find(self, kind: Kind) -> Kind | None:
        """The served kind that equals ``kind``, with all that is known of it."""
        return self._found.get(kind)

    def of_definition(self, name: str) -> Kind | None:
        """The kind that the definition of this name serves, or None."""
        return self._custom.get(name)

    def of(self, api_version: str, kind: str) -> Kind | None:
        """The served kind for an object's ``apiVersion`` and ``kind``, or None."""
        return self._found.get(named_kind(api_version, kind))

    def for_resource(self, group: str, version: str, plural: str) -> Kind | None:
        """The served kind for a URL's group, version and resource, or None."""
        return self._by_resource.get((group, version, plural))

    def put(self, definition: Obj) -> None:
        """Serve what ``definition`` says from now on."""
        kind = custom_kind(definition)
        if kind is None:
            self._custom.pop(definition["metadata"]["name"], None)
        else:
            self._custom[definition["metadata"]["name"]] = kind
        self._index()

    def drop(self, definition: Obj) -> None:
        """Serve its kind no longer."""
        self._custom.pop(definition["metadata"]["name"], None)
        self._index()

    # Private

    def _index(self) -> None:
        custom = {kind: kind for kind in self._custom.values() if kind not in self._built_in}
        self._found = {**self._built_in, **custom}
        served = (*self._found, *FORMS)
        self._by_resource = {(kind.group, kind.version, kind.plural): kind for kind in served}
