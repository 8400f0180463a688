"""Runs the pods of this machine: decides in ``plan/``, acts in ``pod_worker`` and ``probers``."""
