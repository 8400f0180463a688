"""HTTPS over the registry: discovery, OpenAPI, tables, authentication, log streams."""
