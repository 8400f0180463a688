"""LocalClient: the Client protocol over a Registry in the same process."""

from __future__ import annotations

from nodrop.client.actions import Action, Create, Delete, Emit, Patch, Update
from nodrop.client.protocol import ALL, Page, Scope
from nodrop.client.recorder import EventRecorder
from nodrop.model.errors import bad_request, not_found
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, key_of
from nodrop.registry.interface import DeleteOptions, WriteOptions
from nodrop.registry.verbs import Registry
from nodrop.registry.watch import WatchStream


class LocalClient:
    """The API without HTTP. Objects it returns are the stored ones: treat them as immutable."""

    def __init__(
        self, registry: Registry, recorder: EventRecorder, *, options: WriteOptions | None = None
    ) -> None:
        """``options`` go with every write."""
        self._registry = registry
        self._recorder = recorder
        self._options = options or WriteOptions()

    async def get(self, key: ObjectKey) -> Obj:
        return self._registry.get(key)

    async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
        return self._registry.list(kind, scope)

    def watch(self, kind: Kind, scope: Scope = ALL, *, since: Revision) -> WatchStream:
        return self._registry.watch(kind, scope, since=since)

    async def apply(self, action: Action) -> Obj | None:
        if isinstance(action, Emit):
            await self._recorder.emit(action, self._write)
            return None
        return await self._write(action)

    # Private

    async def _write(self, action: Create | Update | Patch | Delete) -> Obj | None:
        match action:
            case Create(obj):
                namespace = (obj.get("metadata") or {}).get("namespace", "")
                kind = self._served(obj)
                return self._registry.create(kind, namespace, obj, self._options).obj
            case Update(obj, subresource):
                key = self._key(key_of(obj))
                written = self._registry.update(
                    key, obj, subresource=subresource, options=self._options
                )
                return written.obj
            case Patch(key, patch, subresource):
                written = self._registry.patch(
                    self._key(key), patch, "merge", subresource=subresource, options=self._options
                )
                return written.obj
            case Delete():
                deleted = self._registry.delete(self._key(action.key), _delete_options(action))
                return None if deleted.gone else deleted.obj

    def _served(self, obj: Obj) -> Kind:
        kind = self._registry.kinds.of(obj.get("apiVersion", ""), obj.get("kind", ""))
        if kind is None:
            raise bad_request(f"{obj.get('apiVersion')} {obj.get('kind')} is not a served kind")
        return kind

    def _key(self, key: ObjectKey) -> ObjectKey:
        """``key`` with all that is known of its kind: an object's own names no more than that."""
        kind = self._registry.kinds.find(key.kind)
        if kind is None:
            raise not_found(key.kind, key.name)
        return key._replace(kind=kind)


def _delete_options(action: Delete) -> DeleteOptions:
    return DeleteOptions(
        grace_period_s=action.grace_period_s,
        propagation=action.propagation,
        uid=action.uid,
        revision=action.revision,
    )
