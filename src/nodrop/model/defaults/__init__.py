"""Defaulting: what the API server adds to an object that leaves fields out; pure."""

from nodrop.model.defaults.objects import apply_defaults
from nodrop.model.defaults.pod import default_pod_spec

__all__ = ["apply_defaults", "default_pod_spec"]
