"""nodrop: roll out new versions of a service on one machine and drop no request."""

__version__ = "0.1.0"
