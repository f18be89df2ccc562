"""The OpenID Connect provider of the tests (tests/node/provider.mjs), and its controls."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from accounting.simulation.stores.engines import free_port
from tests.hub.process import program

NODE = Path(__file__).parents[1] / "node"
CLIENT_SECRET = "a-secret-between-hub-and-provider"
GRANTS = [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:token-exchange",
]


@dataclass(frozen=True)
class Provider:
    """A running provider: `host` is what `checkin_host` takes, `issuer` the realm's URL."""

    host: str
    issuer: str
    log: Path

    def endpoint(self, name: str) -> str:
        """The URL of one of Keycloak's endpoints: `token`, `userinfo`, `token/introspect` …"""
        return f"{self.issuer}/protocol/openid-connect/{name}"

    def _control(self, method: str, name: str, body: object = None) -> Any:
        answer = httpx.request(method, f"http://{self.host}/control/{name}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def client(
        self, client_id: str, redirect_uris: Sequence[str] = (), secret: str = CLIENT_SECRET
    ) -> None:
        """Register a client; again with other URIs replaces it."""
        registration = {
            "client_id": client_id,
            "client_secret": secret,
            "redirect_uris": list(redirect_uris),
            "grant_types": GRANTS if redirect_uris else ["client_credentials"],
            "response_types": ["code"] if redirect_uris else [],
            "token_endpoint_auth_method": "client_secret_basic",
        }
        self._control("PUT", "clients", [registration])

    def user(self, sub: str, **claims: object) -> None:
        """Set a user's claims, all of them; the login form takes `sub` as the name."""
        self._control("PUT", "users", {sub: {"preferred_username": sub, **claims}})

    def set(self, **settings: object) -> None:
        """Change how it behaves: `mode`, `rotate_refresh`, … (the script lists them)."""
        self._control("PUT", "settings", settings)

    def heal(self) -> None:
        """Behave as at the start; users and clients stay."""
        self.set(
            mode="up",
            silent_paths=[],
            rotate_refresh=False,
            access_token_seconds=3600,
            audience="",
            exchange="rfc",
            introspection={},
        )

    def ticket(self, audience: str, **claims: object) -> None:
        """What the UMA ticket for this audience says; without one it is refused."""
        self._control("PUT", "tickets", {audience: claims})

    def document(self, path: str, body: str, content_type: str = "application/xml") -> None:
        """A document that whoever holds a token may read."""
        self._control("PUT", "documents", {path: {"type": content_type, "body": body}})

    def rotate_keys(self) -> str:
        """Sign with a new key from now on and forget the old one; returns the new `kid`."""
        key = new_key()
        self._control("PUT", "keys", key)
        return str(key["kid"])

    def tokens(
        self, sub: str, client_id: str, scope: str = "openid profile", seconds: int = 3600
    ) -> dict[str, str]:
        """An access and a refresh token of a user, as a client got them elsewhere."""
        wanted = {"sub": sub, "client_id": client_id, "scope": scope, "seconds": seconds}
        return dict(self._control("POST", "tokens", wanted))

    def revoke(self, token: str, client_id: str = "notebooks") -> None:
        """Revoke a token, as its client would."""
        answer = httpx.post(
            self.endpoint("revoke"),
            data={"token": token},
            auth=(client_id, CLIENT_SECRET),
            timeout=60,
        )
        answer.raise_for_status()

    def signed(self, **claims: object) -> str:
        """A JWT with these claims, signed by the provider's key, that it never issued."""
        return str(self._control("POST", "signed", claims)["token"])

    def requests(self) -> list[Mapping[str, str]]:
        """What it was asked, control aside: `method`, `path`, `grant_type`."""
        return list(self._control("GET", "requests"))

    def count(self, path_end: str, grant_type: str | None = None) -> int:
        """How often it was asked for a path with this end."""
        return sum(
            request["path"].endswith(path_end)
            and (grant_type is None or request.get("grant_type") == grant_type)
            for request in self.requests()
        )


def new_key() -> dict[str, Any]:
    """A private key for signatures, as a JWK with a `kid` of its own."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {**jwk, "kid": secrets.token_hex(8), "use": "sig", "alg": "RS256"}


@contextmanager
def run_provider(folder: Path, realm: str = "egi", port: int | None = None) -> Iterator[Provider]:
    """A provider without users on a free port of the loopback; its log goes into the folder."""
    host = f"127.0.0.1:{port or free_port()}"
    issuer = f"http://{host}/auth/realms/{realm}"
    key = folder / "provider-key.json"
    key.write_text(json.dumps(new_key()), encoding="utf-8")
    command = ["node", str(NODE / "provider.mjs"), host.rpartition(":")[2], realm, str(key)]
    log = folder / "provider.log"

    def ready() -> bool:
        return httpx.get(f"{issuer}/.well-known/openid-configuration", timeout=5).is_success

    with program("OIDC provider", command, log, ready=ready):
        yield Provider(host, issuer, log)
