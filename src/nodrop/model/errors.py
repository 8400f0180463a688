"""ApiError: the Kubernetes Status that every failed API call ends in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of ``details.causes``: a field path, a machine reason and a message.

    ``message`` is the text after the path, e.g. ``Invalid value: 0: may not be 0 …``.
    """

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


@dataclass(eq=False)
class ApiError(Exception):
    """A failed API call, as the client sees it. ``code`` is the HTTP status."""

    code: int
    reason: str
    message: str
    details: Obj = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def to_status(self) -> Obj:
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status

    @staticmethod
    def from_status(status: Obj) -> ApiError:
        return ApiError(
            code=int(status.get("code", 500)),
            reason=status.get("reason", "Unknown"),
            message=status.get("message", "unknown error"),
            details=status.get("details") or {},
        )


def _details(kind: Kind, name: str) -> Obj:
    details: Obj = {"name": name, "kind": kind.plural}
    if kind.group:
        details["group"] = kind.group
    return details


def not_found(kind: Kind, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{kind.resource} "{name}" not found', _details(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    message = f'{kind.resource} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(kind, name))


def conflict(
    kind: Kind,
    name: str,
    why: str = (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    ),
) -> ApiError:
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(kind, name))


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> ApiError:
    """422 Invalid; several causes are printed as ``[a, b]``, one without brackets."""
    texts = [str(cause) for cause in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(kind, name)
    details["kind"] = kind.kind
    details["causes"] = [
        {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
    ]
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {listed}', details)


def forbidden(kind: Kind, name: str, why: str) -> ApiError:
    message = f'{kind.resource} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(kind, name))


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def expired(oldest: int, asked: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")
