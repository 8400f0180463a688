"""Builds the concrete engine: the only place that knows every part."""
