"""Validation: why an object is refused, with upstream's field paths and sentences; pure."""

from nodrop.model.validate.objects import validate_create, validate_update
from nodrop.model.validate.pod import missing_command
from nodrop.model.validate.status import validate_status

__all__ = ["missing_command", "validate_create", "validate_status", "validate_update"]
