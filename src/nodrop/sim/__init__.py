"""The simulator: the real control plane on virtual time, over fakes whose behaviour is seeded."""
