"""API semantics without HTTP: verbs, watches, admission, and the in-process Client."""
