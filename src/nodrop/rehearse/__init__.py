"""Load that accounts for every request."""
