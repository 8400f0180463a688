"""By what others verify tokens of service accounts: OpenID Connect's discovery, and public keys.

Source: kubernetes.io, "Configure Service Accounts for Pods", service account issuer discovery.
"""

from __future__ import annotations

from aiohttp import web

from nodrop.apiserver.accounts import ISSUER, AccountTokens
from nodrop.apiserver.rendering import encode
from nodrop.model.meta import Obj

DISCOVERY_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
_CACHED = {"Cache-Control": "public, max-age=3600"}


def issuer_routes(accounts: AccountTokens) -> list[web.RouteDef]:
    async def discovery(request: web.Request) -> web.Response:
        return _document(configuration(request.host), "application/json")

    async def keys(_: web.Request) -> web.Response:
        return _document({"keys": [accounts.public_key()]}, "application/jwk-set+json")

    return [web.get(DISCOVERY_PATH, discovery), web.get(KEYS_PATH, keys)]


def configuration(host: str) -> Obj:
    """The issuer's description, for who reached the API as ``host``."""
    return {
        "issuer": ISSUER,
        "jwks_uri": f"https://{host}{KEYS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }


def _document(document: Obj, content_type: str) -> web.Response:
    return web.Response(body=encode(document), content_type=content_type, headers=_CACHED)
