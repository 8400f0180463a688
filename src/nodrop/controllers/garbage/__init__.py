"""Garbage collection by owner references, and the end of namespaces; pure."""
