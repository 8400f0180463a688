"""The keeper: a small long-lived parent of all containers and proxies.

Everything in this folder but ``client.py`` and ``session.py`` runs in the keeper's own process with
the standard library only, so that it starts in milliseconds, stays small, and never has to be
upgraded together with the control plane.
"""
