"""How everything but the registry speaks to the API: the Client protocol, actions, the cache."""
