"""Tokens of service accounts: given by TokenRequest, told again from requests, reviewed.

A token is bound to its account's uid, and to the pod or Secret that it was asked for: when one of
them is gone, so is the token. Nothing of it is stored.
Source: kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from nodrop.apiserver.jws import SigningKey
from nodrop.clock import Clock
from nodrop.model.errors import ApiError, Cause, bad_request, conflict, invalid
from nodrop.model.kinds import POD, SECRET, SERVICEACCOUNT, TOKENREQUEST, Kind
from nodrop.model.meta import Obj, ObjectKey, format_time, is_deleting, uid_of
from nodrop.model.rbac import User
from nodrop.model.serviceaccount import account_groups, account_user
from nodrop.registry.interface import Registry

#: Who gives tokens, and whom they are meant for unless another audience is asked for.
ISSUER = "https://kubernetes.default.svc"
_DEFAULT_LIFE_S = 3600
_SHORTEST_LIFE_S, _LONGEST_LIFE_S = 600, 1 << 32
#: Tokens whose signature is known to be good; an entry is some 1.5 KB.
_REMEMBERED = 1024
_CLAIM = "kubernetes.io"
_EXTRA = "authentication.kubernetes.io"
_BINDABLE = {"Pod": POD, "Secret": SECRET}


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, and when it ends."""

    token: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token it is, and for whom it was made."""

    user: User
    audiences: tuple[str, ...]


class AccountTokens:
    """Gives tokens, and tells who holds one."""

    def __init__(self, key: SigningKey, registry: Registry, clock: Clock) -> None:
        self._key = key
        self._registry = registry
        self._clock = clock
        self._verified: dict[bytes, Obj] = {}

    def requested(self, account: ObjectKey, request: Obj) -> Obj:
        """The TokenRequest with its token. Raises 400, 404, 409, 422."""
        if request.get("kind", TOKENREQUEST.kind) != TOKENREQUEST.kind:
            raise bad_request(f"kind: {request['kind']!r} was sent to token: send TokenRequest")
        spec = request.get("spec") or {}
        if not isinstance(spec, dict):
            raise bad_request("spec: expected an object")
        life_s = _life_s(spec)
        audiences = _audiences(spec) or [ISSUER]
        reference = spec.get("boundObjectRef") or {}
        if not isinstance(reference, dict):
            raise bad_request("spec.boundObjectRef: expected an object")
        bound = self._bound(account, reference)
        issued = self.issue(account, audiences=audiences, life_s=life_s, bound=bound)
        filled = {**spec, "audiences": audiences, "expirationSeconds": life_s}
        return {
            "apiVersion": TOKENREQUEST.api_version,
            "kind": TOKENREQUEST.kind,
            "metadata": {"name": account.name, "namespace": account.namespace},
            "spec": filled,
            "status": {
                "token": issued.token,
                "expirationTimestamp": format_time(issued.expires),
            },
        }

    def issue(
        self,
        account: ObjectKey,
        *,
        audiences: Sequence[str] = (),
        life_s: int = _DEFAULT_LIFE_S,
        bound: Obj | None = None,
    ) -> Issued:
        """A token of ``account``, for this API unless ``audiences`` say other, bound to an object.

        Raises 404 when there is no such account.
        """
        now = self._clock.now()
        expires = now + timedelta(seconds=life_s)
        named = {"name": account.name, "uid": uid_of(self._registry.get(account))}
        held: Obj = {"namespace": account.namespace, "serviceaccount": named}
        if bound is not None:
            meta = bound["metadata"]
            held[str(bound["kind"]).lower()] = {"name": meta["name"], "uid": meta["uid"]}
        claims = {
            "iss": ISSUER,
            "sub": account_user(account.namespace, account.name),
            "aud": list(audiences) or [ISSUER],
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int(expires.timestamp()),
            "jti": secrets.token_urlsafe(16),
            _CLAIM: held,
        }
        return Issued(self._key.sign(claims), expires)

    def public_key(self) -> Obj:
        """The JSON Web Key by which others verify these tokens."""
        return self._key.public()

    def user(self, token: str) -> User | None:
        """Whose token it is, if it is good and meant for this API."""
        holder = self.holder(token)
        return holder.user if holder is not None and ISSUER in holder.audiences else None

    def holder(self, token: str) -> Holder | None:
        """Whose token it is, whomever it is meant for; None for one that has ended."""
        claims = self._claims(token)
        if claims is None or self._clock.now() >= _time(claims["exp"]) or not self._holds(claims):
            return None
        return Holder(_user(claims[_CLAIM], claims["jti"]), tuple(claims["aud"]))

    # Private

    def _claims(self, token: str) -> Obj | None:
        """What the token says; a signature is looked at once."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        if digest in self._verified:
            return self._verified[digest]
        claims = self._key.verified(token)
        if claims is not None:
            self._verified[digest] = claims
            if len(self._verified) > _REMEMBERED:
                del self._verified[next(iter(self._verified))]
        return claims

    def _holds(self, claims: Obj) -> bool:
        """Whether all that the token is bound to is still there."""
        held = claims[_CLAIM]
        bound = ((SERVICEACCOUNT, "serviceaccount"), (POD, "pod"), (SECRET, "secret"))
        return all(
            self._is_there(kind, held["namespace"], held[name])
            for kind, name in bound
            if name in held
        )

    def _is_there(self, kind: Kind, namespace: str, named: Obj) -> bool:
        found = self._found(ObjectKey(kind, namespace, named["name"]))
        ending = kind == SERVICEACCOUNT and found is not None and is_deleting(found)
        return found is not None and uid_of(found) == named["uid"] and not ending

    def _found(self, key: ObjectKey) -> Obj | None:
        try:
            return self._registry.get(key)
        except ApiError:
            return None

    def _bound(self, account: ObjectKey, reference: Obj) -> Obj | None:
        """The object that a token shall be bound to."""
        if not reference:
            return None
        kind = _BINDABLE.get(str(reference.get("kind")))
        if kind is None:
            detail = f"cannot bind token for serviceaccount to type {reference.get('kind')}"
            path = "spec.boundObjectRef.kind"
            raise _invalid(path, f"Invalid value: {detail}; use Pod or Secret")
        obj = self._registry.get(ObjectKey(kind, account.namespace, str(reference.get("name"))))
        uid = reference.get("uid")
        if uid and uid != uid_of(obj):
            raise conflict(
                kind,
                obj["metadata"]["name"],
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if kind == POD and obj["spec"].get("serviceAccountName", "default") != account.name:
            raise bad_request(
                f'cannot bind token for serviceaccount "{account.name}" to pod running with '
                "different serviceaccount name"
            )
        return {**obj, "kind": kind.kind}


# Private


def _user(held: Obj, id: str) -> User:
    namespace, account = held["namespace"], held["serviceaccount"]
    extra: list[tuple[str, tuple[str, ...]]] = [(f"{_EXTRA}/credential-id", (f"JTI={id}",))]
    if pod := held.get("pod"):
        extra += [(f"{_EXTRA}/pod-name", (pod["name"],)), (f"{_EXTRA}/pod-uid", (pod["uid"],))]
    return User(
        account_user(namespace, account["name"]),
        account_groups(namespace),
        uid=account["uid"],
        extra=tuple(extra),
    )


def _life_s(spec: Obj) -> int:
    asked = spec.get("expirationSeconds")
    if asked is None:
        return _DEFAULT_LIFE_S
    path = "spec.expirationSeconds"
    if not isinstance(asked, int) or isinstance(asked, bool):
        raise bad_request(f"{path}: expected a whole number of seconds")
    if asked < _SHORTEST_LIFE_S:
        why = "may not specify a duration less than 10 minutes"
        raise _invalid(path, f"Invalid value: {asked}: {why}")
    if asked > _LONGEST_LIFE_S:
        why = "may not specify a duration larger than 2^32 seconds"
        raise _invalid(path, f"Invalid value: {asked}: {why}")
    return asked


def _audiences(spec: Obj) -> list[str]:
    asked = spec.get("audiences") or []
    if not isinstance(asked, list) or not all(isinstance(one, str) for one in asked):
        raise bad_request("spec.audiences: expected a list of strings")
    return asked


def _invalid(path: str, message: str) -> ApiError:
    return invalid(TOKENREQUEST, "", [Cause(path, "FieldValueInvalid", message)])


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
