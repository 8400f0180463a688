"""What a rollout will do, before it is done: the real control plane on virtual time."""
