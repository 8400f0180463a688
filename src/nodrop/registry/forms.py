"""Kinds that show stored objects in another form: one set of objects, two served versions.

Only clients see forms, so only the API server speaks to this; everybody else has the stored kind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace

from nodrop.client.protocol import Page, Scope, WatchEvent
from nodrop.model.catalogue import Catalogue
from nodrop.model.errors import Cause, bad_request, invalid
from nodrop.model.eventforms import (
    STORED_LABELS,
    newer_event,
    stored_event,
    validate_newer_event,
)
from nodrop.model.kinds import EVENT, EVENTS_EVENT, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision
from nodrop.registry import checks
from nodrop.registry.interface import (
    Deleted,
    DeleteOptions,
    Events,
    PatchType,
    Registry,
    WriteOptions,
    Written,
)
from nodrop.registry.managedfields import check_not_forced
from nodrop.registry.metadata import check_identity


@dataclass(frozen=True, slots=True)
class Form:
    """Another form of ``stored``. ``labels``: its field selectors, as the stored kind has them."""

    stored: Kind
    shown: Callable[[Obj], Obj]
    kept: Callable[[Obj], Obj]
    validate_new: Callable[[Obj], list[Cause]]
    labels: Mapping[str, str]

    def key(self, key: ObjectKey) -> ObjectKey:
        return key._replace(kind=self.stored)

    def scope(self, scope: Scope) -> Scope:
        """Raises 400 for a field that can't be selected on."""
        fields, fields_not = (
            tuple((self._label(path), value) for path, value in pairs)
            for pairs in (scope.fields, scope.fields_not)
        )
        return replace(scope, fields=fields, fields_not=fields_not)

    def written(self, written: Written, warnings: tuple[str, ...]) -> Written:
        return replace(
            written, obj=self.shown(written.obj), warnings=(*warnings, *written.warnings)
        )

    def _label(self, path: str) -> str:
        if path not in self.labels:
            raise bad_request(f"field label not supported: {path}")
        return self.labels[path]


_FORMS: Mapping[Kind, Form] = {
    EVENTS_EVENT: Form(EVENT, newer_event, stored_event, validate_newer_event, STORED_LABELS),
}
_WRITE = WriteOptions()
_DELETE = DeleteOptions()


class ShownEvents:
    """The events of a watch, with objects in another form."""

    def __init__(self, events: Events, form: Form) -> None:
        self._events = events
        self._form = form

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        async for event in self._events:
            yield self._shown(event)

    def waiting(self, most: int) -> list[WatchEvent]:
        return [self._shown(event) for event in self._events.waiting(most)]

    async def aclose(self) -> None:
        await self._events.aclose()

    def _shown(self, event: WatchEvent) -> WatchEvent:
        return replace(event, obj=self._form.shown(event.obj))


class FormsRegistry:
    """A Registry that serves the other forms besides the kinds of the one beneath."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def kinds(self) -> Catalogue:
        return self._registry.kinds

    def get(self, key: ObjectKey, *, subresource: str | None = None) -> Obj:
        form = _FORMS.get(key.kind)
        if form is None:
            return self._registry.get(key, subresource=subresource)
        return form.shown(self._registry.get(form.key(key), subresource=subresource))

    def list(
        self,
        kind: Kind,
        scope: Scope,
        *,
        limit: int = 0,
        continue_token: str = "",
        at: Revision | None = None,
    ) -> Page:
        form = _FORMS.get(kind)
        stored, inner = (form.stored, form.scope(scope)) if form else (kind, scope)
        page = self._registry.list(stored, inner, limit=limit, continue_token=continue_token, at=at)
        return replace(page, items=tuple(map(form.shown, page.items))) if form else page

    def watch(self, kind: Kind, scope: Scope, *, since: Revision) -> Events:
        form = _FORMS.get(kind)
        if form is None:
            return self._registry.watch(kind, scope, since=since)
        return ShownEvents(self._registry.watch(form.stored, form.scope(scope), since=since), form)

    def revision(self) -> Revision:
        return self._registry.revision()

    def create(
        self, kind: Kind, namespace: str, obj: Obj, options: WriteOptions = _WRITE
    ) -> Written:
        form = _FORMS.get(kind)
        if form is None:
            return self._registry.create(kind, namespace, obj, options)
        obj, warnings = _checked(kind, namespace, None, obj, options)
        if causes := form.validate_new(obj):
            raise invalid(kind, obj["metadata"].get("name", ""), causes)
        known = replace(options, field_validation="Ignore")
        written = self._registry.create(form.stored, namespace, form.kept(obj), known)
        return form.written(written, warnings)

    def update(
        self,
        key: ObjectKey,
        obj: Obj,
        *,
        subresource: str | None = None,
        options: WriteOptions = _WRITE,
    ) -> Written:
        form = _FORMS.get(key.kind)
        if form is None:
            return self._registry.update(key, obj, subresource=subresource, options=options)
        obj, warnings = _checked(key.kind, key.namespace, key.name, obj, options)
        written = self._registry.update(
            form.key(key),
            form.kept(obj),
            subresource=subresource,
            options=replace(options, field_validation="Ignore"),
        )
        return form.written(written, warnings)

    def patch(
        self,
        key: ObjectKey,
        patch: object,
        patch_type: PatchType,
        *,
        subresource: str | None = None,
        options: WriteOptions = _WRITE,
    ) -> Written:
        form = _FORMS.get(key.kind)
        if form is None:
            return self._registry.patch(
                key, patch, patch_type, subresource=subresource, options=options
            )
        if patch_type != "apply":
            check_not_forced(options)
            patched = checks.patched(key.kind, self.get(key), patch, patch_type)
            return self.update(key, patched, subresource=subresource, options=options)
        assert isinstance(patch, dict), "what is applied is an object: see the API server"
        config, warnings = _checked(key.kind, key.namespace, key.name, patch, options)
        written = self._registry.patch(
            form.key(key),
            form.kept(config),
            patch_type,
            subresource=subresource,
            options=replace(options, field_validation="Ignore"),
        )
        return form.written(written, warnings)

    def delete(self, key: ObjectKey, options: DeleteOptions = _DELETE) -> Deleted:
        form = _FORMS.get(key.kind)
        if form is None:
            return self._registry.delete(key, options)
        deleted = self._registry.delete(form.key(key), options)
        return replace(deleted, obj=form.shown(deleted.obj))

    def evict(self, key: ObjectKey, eviction: Obj, options: DeleteOptions = _DELETE) -> None:
        self._registry.evict(key, eviction, options)


# Private


def _checked(
    kind: Kind, namespace: str, name: str | None, obj: Obj, options: WriteOptions
) -> tuple[Obj, tuple[str, ...]]:
    """A copy that is surely of this form, and warnings about fields that it doesn't have."""
    obj = checks.clone(obj)
    check_identity(kind, namespace, name, obj)
    return checks.known_fields(kind, obj, options.field_validation)
