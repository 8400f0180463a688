"""Custom kinds: what a CustomResourceDefinition says, and what it makes of its objects; pure."""
