"""HAProxy as a Proxy: configuration (pure), its admin socket, the driver."""
