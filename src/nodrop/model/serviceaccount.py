"""What service accounts are called as users; pure."""

from __future__ import annotations

#: Where a pod finds its account's token, and what the volume's name begins with.
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME = "kube-api-access-"
#: The ConfigMap with the certificate by which pods know the API server.
ROOT_CA = "kube-root-ca.crt"
_PREFIX = "system:serviceaccount:"
_ALL = "system:serviceaccounts"


def account_user(namespace: str, name: str) -> str:
    """The name of the user that an account is."""
    return f"{_PREFIX}{namespace}:{name}"


def account_of(user: str) -> tuple[str, str] | None:
    """The namespace and name of the account that a user is, or None.

    >>> account_of("system:serviceaccount:ci:bot")
    ('ci', 'bot')
    """
    namespace, _, name = user.removeprefix(_PREFIX).partition(":")
    return (namespace, name) if user.startswith(_PREFIX) and namespace and name else None


def account_groups(namespace: str) -> tuple[str, ...]:
    """The groups that every account of a namespace is in."""
    return (_ALL, f"{_ALL}:{namespace}")
