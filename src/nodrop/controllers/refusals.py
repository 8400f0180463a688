"""Refused writes that are no news; pure."""

from __future__ import annotations

from nodrop.model.errors import ApiError


def namespace_is_ending(error: ApiError) -> bool:
    """Nothing can be created in a namespace that is being deleted, and that is meant."""
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
