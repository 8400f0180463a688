"""That a manifest can't be read: apart from the reading, which brings a YAML parser with it."""

from __future__ import annotations


class BrokenManifest(Exception):
    """A file can't be read as Kubernetes objects; the message names file, line and mend."""
