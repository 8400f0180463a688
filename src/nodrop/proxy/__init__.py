"""The data plane: routing tables (pure), the Proxy protocol, the HAProxy driver, the sync loop."""
