"""The verbs of the API over a store: create, update, patch, delete, get, list, watch."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from nodrop.client.protocol import Page, Scope
from nodrop.clock import Clock
from nodrop.model.catalogue import Catalogue
from nodrop.model.custom.definition import without_cleanup
from nodrop.model.errors import ApiError, already_exists, conflict, not_found
from nodrop.model.kinds import (
    CUSTOMRESOURCEDEFINITION,
    EVENT,
    EVICTION,
    KINDS,
    POD,
    SCALE,
    Kind,
)
from nodrop.model.meta import (
    Obj,
    ObjectKey,
    Revision,
    is_deleting,
    key_of,
    parse_time,
    revision_of,
)
from nodrop.registry import checks
from nodrop.registry.admission import Admission
from nodrop.registry.apiaccess import account_key, add_token, mounts_token, root_ca
from nodrop.registry.bootstrap import initial_objects, refreshed
from nodrop.registry.deletion import check_preconditions, is_released, plan_delete
from nodrop.registry.eviction import check_eviction, evict
from nodrop.registry.interface import (
    Allocation,
    Deleted,
    DeleteOptions,
    PatchType,
    WriteOptions,
    Written,
)
from nodrop.registry.managedfields import (
    apply_config,
    apply_scale,
    check_apply,
    check_not_forced,
    first_owners,
    is_tracked,
    keep_managed,
    track_update,
)
from nodrop.registry.metadata import (
    check_identity,
    count_generation,
    missing_name,
    prepare_create,
    random_name,
)
from nodrop.registry.paging import PageRequest, list_page
from nodrop.registry.subresources import check_subresource, replacement, shown
from nodrop.registry.watch import Hub, WatchStream
from nodrop.store.protocol import ABSENT, PreconditionFailed, Store, StoreFailure, Write

_NAME_ATTEMPTS = 8
#: How long an Event lives after it was last seen, as upstream's default.
EVENT_TTL = timedelta(hours=1)
_BUILT_IN = frozenset(KINDS)
_WRITE = WriteOptions()
_DELETE = DeleteOptions()


class Registry:
    """API semantics over ``store``; see ``registry.interface.Registry`` for the contract.

    What ``get``, ``list`` and ``watch`` hand out is the stored object itself, shared by all
    readers: treat it as immutable. What is handed in is copied.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        allocation: Allocation,
        rng: random.Random,
        *,
        capacity: Mapping[str, str] | None = None,
        root_ca: str = "",
    ) -> None:
        """``capacity`` is the node's, e.g. ``{"cpu": "8", "memory": "16Gi"}``.

        ``root_ca`` is the PEM certificate by which pods know the API server; without it they are
        given no tokens.
        """
        self._store = store
        self._clock = clock
        self._rng = rng
        self._admission = Admission(store, allocation, rng)
        self._root_ca = root_ca
        self._hub = Hub(store)
        self.ensure(initial_objects(allocation, capacity or {}, clock.now()))
        for one in store.list(CUSTOMRESOURCEDEFINITION):
            if is_deleting(one.obj):
                self._delete_objects_of(one.obj)

    @property
    def kinds(self) -> Catalogue:
        return self._store.kinds

    # Reading

    def get(self, key: ObjectKey, *, subresource: str | None = None) -> Obj:
        check_subresource(key, subresource)
        return shown(key.kind, self._stored(key), subresource)

    def list(
        self,
        kind: Kind,
        scope: Scope,
        *,
        limit: int = 0,
        continue_token: str = "",
        at: Revision | None = None,
    ) -> Page:
        request = PageRequest(limit=limit, continue_token=continue_token, at=at)
        return list_page(self._store, kind, scope, request)

    def watch(self, kind: Kind, scope: Scope, *, since: Revision) -> WatchStream:
        return self._hub.open(kind, scope, since=since)

    def revision(self) -> Revision:
        return self._store.revision

    # Writing

    def create(
        self, kind: Kind, namespace: str, obj: Obj, options: WriteOptions = _WRITE
    ) -> Written:
        obj = checks.clone(obj)
        check_identity(kind, namespace, None, obj)
        obj["metadata"].pop("managedFields", None)
        return self._create(kind, namespace, obj, options)

    def _create(self, kind: Kind, namespace: str, obj: Obj, options: WriteOptions) -> Written:
        obj, warnings = checks.known_fields(kind, obj, options.field_validation)
        self._name(kind, obj)
        meta = obj["metadata"]
        self._admission.check_namespace(kind, namespace, meta["name"])
        key = ObjectKey(kind, meta.get("namespace", ""), meta["name"])
        if self._store.get(key):
            raise already_exists(kind, key.name)
        now = self._clock.now()
        prepare_create(obj, now=now, rng=self._rng)
        obj = checks.completed(kind, obj)
        checks.check_create(kind, obj)
        self._admission.admit_create(kind, obj, now)
        if kind == POD:
            self._give_token(obj, dry_run=options.dry_run)
        self._admission.settle(kind, obj, now)
        if options.approve:
            options.approve(obj)
        stored = self._write(Write(key, obj, ABSENT), dry_run=options.dry_run)
        warnings += checks.remarks(kind, obj)
        return Written(stored, created=True, warnings=warnings)

    def update(
        self,
        key: ObjectKey,
        obj: Obj,
        *,
        subresource: str | None = None,
        options: WriteOptions = _WRITE,
    ) -> Written:
        check_subresource(key, subresource)
        stored = self._stored(key)
        trusted = options.field_validation == "Trusted" and subresource == "status"
        obj = checks.shallow(obj) if trusted else checks.clone(obj)
        obj, warnings = self._known(key, obj, subresource, options, stored)
        new = replacement(key, stored, obj, subresource)
        if is_tracked(new, stored):  # what defaulting fills in again has not changed
            new = checks.completed(key.kind, new)
        new = track_update(key.kind, new, stored, subresource, options, self._clock.now())
        return self._update(key, new, stored, subresource, options, warnings)

    def _update(
        self,
        key: ObjectKey,
        new: Obj,
        stored: Obj,
        subresource: str | None,
        options: WriteOptions,
        warnings: tuple[str, ...],
    ) -> Written:
        """Default, admit, check and store ``new`` in place of ``stored``."""
        if key.kind == POD and subresource == "status":  # the rest is the stored object's own
            trusted = options.field_validation == "Trusted"
            new = new if trusted else checks.with_completed_status(new)
        else:
            new = checks.completed(key.kind, new)
        if subresource in (None, "scale"):
            self._admission.admit_update(key.kind, new, stored)
            checks.check_update(key.kind, new, stored)
            self._admission.settle(key.kind, new, self._clock.now())
            count_generation(new, stored)
        elif subresource == "status":
            checks.check_status(key.kind, new)
        if subresource is None:
            warnings += checks.remarks(key.kind, new, stored)
        if options.approve:
            options.approve(new)
        written = self._replace(key, new, stored, dry_run=options.dry_run)
        return Written(shown(key.kind, written, subresource), warnings=warnings)

    def patch(
        self,
        key: ObjectKey,
        patch: object,
        patch_type: PatchType,
        *,
        subresource: str | None = None,
        options: WriteOptions = _WRITE,
    ) -> Written:
        if patch_type == "apply":
            assert isinstance(patch, dict), "what is applied is an object: see the API server"
            return self._apply(key, patch, subresource, options)
        check_not_forced(options)
        target = self.get(key, subresource=subresource)
        patched = checks.patched(key.kind, target, patch, patch_type)
        return self.update(key, patched, subresource=subresource, options=options)

    def _apply(
        self, key: ObjectKey, config: Obj, subresource: str | None, options: WriteOptions
    ) -> Written:
        """Server-side apply: create, or merge by who owns what."""
        check_subresource(key, subresource)
        config = checks.clone(config)
        check_apply(config, options)
        found, now = self._store.get(key), self._clock.now()
        if found is None and subresource is None:
            check_identity(key.kind, key.namespace, key.name, config)
            config["metadata"]["managedFields"] = first_owners(key.kind, config, options, now)
            return self._create(key.kind, key.namespace, config, options)
        stored = self._stored(key)
        config, warnings = self._known(key, config, subresource, options, stored)
        if subresource == "scale":
            new = apply_scale(key, stored, config, options, now)
        else:
            merged = apply_config(key, stored, config, subresource, options, now)
            new = keep_managed(replacement(key, stored, merged, subresource), merged)
        return self._update(key, new, stored, subresource, options, warnings)

    def delete(self, key: ObjectKey, options: DeleteOptions = _DELETE) -> Deleted:
        stored = self._stored(key)
        self._admission.check_delete(key)
        check_preconditions(key.kind, stored, options)
        plan = plan_delete(key.kind, stored, options, self._clock.now())
        if not plan.remove and plan.obj == stored:
            return Deleted(stored, gone=False)
        write = Write(key, plan.obj, revision_of(stored), delete=plan.remove)
        deleted = Deleted(self._write(write, dry_run=options.dry_run), gone=plan.remove)
        if key.kind == CUSTOMRESOURCEDEFINITION and not options.dry_run:
            self._delete_objects_of(deleted.obj)
        return deleted

    def evict(self, key: ObjectKey, eviction: Obj, options: DeleteOptions = _DELETE) -> None:
        check_eviction(key, eviction)
        checks.known_fields(EVICTION, eviction, "Ignore")
        evict(self, key, options, self._clock.now())

    def expire_events(self, now: datetime) -> int:
        """Delete Events that were last seen over an hour before ``now``; returns how many."""
        old = [one.obj for one in self._store.list(EVENT) if _last_seen(one.obj) < now - EVENT_TTL]
        for event in old:
            meta = event["metadata"]
            key = ObjectKey(EVENT, meta["namespace"], meta["name"])
            self._write(Write(key, event, revision_of(event), delete=True))
        return len(old)

    # Private

    def _known(
        self, key: ObjectKey, obj: Obj, sub: str | None, options: WriteOptions, stored: Obj
    ) -> tuple[Obj, tuple[str, ...]]:
        """What was sent to an object, or a subresource of it, and warnings about its fields."""
        kind, before = (SCALE, None) if sub == "scale" else (key.kind, stored)
        check_identity(kind, key.namespace, key.name, obj)
        return checks.known_fields(kind, obj, options.field_validation, before)

    def _stored(self, key: ObjectKey) -> Obj:
        found = self._store.get(key)
        if found is None:
            raise not_found(key.kind, key.name)
        return found.obj

    def _give_token(self, pod: Obj, *, dry_run: bool) -> None:
        """Let a new pod reach the API, if its service account exists (in place)."""
        account = self._store.get(account_key(pod))
        if not self._root_ca or not mounts_token(pod, account.obj if account else None):
            return
        if add_token(pod, lambda: random_name("", self._rng)) and not dry_run:
            self.ensure([root_ca(pod["metadata"]["namespace"], self._root_ca)])

    def _name(self, kind: Kind, obj: Obj) -> None:
        """Give an object with only a generateName a free name."""
        meta = obj["metadata"]
        if meta.get("name"):
            return
        base = meta.get("generateName")
        if not base:
            raise missing_name(kind)
        for _ in range(_NAME_ATTEMPTS):
            meta["name"] = random_name(base, self._rng)
            if not self._store.get(ObjectKey(kind, meta.get("namespace", ""), meta["name"])):
                return
        raise already_exists(kind, meta["name"])

    def _replace(self, key: ObjectKey, new: Obj, stored: Obj, *, dry_run: bool) -> Obj:
        """Store ``new`` in place of ``stored``; remove it when nothing holds it any longer."""
        released = is_released(key.kind, new)
        if new == stored and not released:
            return stored
        write = Write(key, new, revision_of(stored), delete=released)
        return self._write(write, dry_run=dry_run)

    def _write(self, write: Write, *, dry_run: bool = False) -> Obj:
        """Commit and tell the watchers. Raises 409 for a stale write, 500 when storing fails."""
        if dry_run:
            return write.obj
        gone = write.delete and write.key.kind == CUSTOMRESOURCEDEFINITION
        kind = self.kinds.of_definition(write.key.name) if gone else None
        try:
            change = self._store.commit(write)
        except PreconditionFailed as error:
            raise _conflict(error) from error
        except StoreFailure as error:
            raise ApiError(500, "InternalError", str(error)) from error
        self._hub.publish(change)
        if kind is not None:
            self._hub.end(kind)
        if write.delete and write.key.kind not in _BUILT_IN:
            self._release_definition(write.key.kind.resource)
        return change.obj

    def _delete_objects_of(self, definition: Obj) -> None:
        """Delete all objects of a definition that is going; the last of them releases it."""
        name = definition["metadata"]["name"]
        if kind := self.kinds.of_definition(name):
            for one in list(self._store.list(kind)):
                meta = one.obj["metadata"]
                self.delete(ObjectKey(kind, meta.get("namespace", ""), meta["name"]))
        self._release_definition(name)

    def _release_definition(self, name: str) -> None:
        """Take the registry's finalizer off a definition that is going and has no objects."""
        key = ObjectKey(CUSTOMRESOURCEDEFINITION, "", name)
        found, kind = self._store.get(key), self.kinds.of_definition(name)
        if found is None or not is_deleting(found.obj):
            return
        if kind is not None and self._store.list(kind):
            return
        freed = without_cleanup(found.obj)
        if freed != found.obj:
            self._replace(key, freed, found.obj, dry_run=False)

    def ensure(self, wanted: Iterable[Obj]) -> None:
        """Store what the engine itself needs where it is missing; refresh what is there."""
        for obj in wanted:
            key = key_of(obj)
            found = self._store.get(key)
            if found is None:
                prepare_create(obj, now=self._clock.now(), rng=self._rng)
                self._write(Write(key, checks.completed(key.kind, obj), ABSENT))
            else:
                self._replace(key, refreshed(found.obj, obj), found.obj, dry_run=False)


def _conflict(error: PreconditionFailed) -> ApiError:
    key = error.key
    if error.expected == ABSENT:
        return already_exists(key.kind, key.name)
    return conflict(key.kind, key.name) if error.actual else not_found(key.kind, key.name)


def _last_seen(event: Obj) -> datetime:
    meta = event["metadata"]
    return parse_time(
        event.get("lastTimestamp") or event.get("eventTime") or meta["creationTimestamp"]
    )
