"""The HAProxy driver: configuration texts (pure), the admin socket, the two processes."""
