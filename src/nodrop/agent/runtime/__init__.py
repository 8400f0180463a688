"""Drivers that run a container: here as processes under the keeper."""
