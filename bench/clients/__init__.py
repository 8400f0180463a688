"""Connections of every protocol on which a message comes back: what ``EchoLoad`` drives."""
