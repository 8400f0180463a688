"""What Kubernetes objects are: kinds, views, defaults, validation, patches. Pure."""
