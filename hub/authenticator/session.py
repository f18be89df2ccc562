"""Sessions after the login: confirmed, refreshed, kept while the provider is away, ended."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakValueDictionary

from jupyterhub import version_info
from jupyterhub.handlers import BaseHandler
from jupyterhub.user import User
from jupyterhub.utils import maybe_future
from oauthenticator.oauth2 import OAuthenticator
from tornado import web
from traitlets import Float, default

from hub.authenticator.pacing import pace
from hub.authenticator.provider import AuthModel, AuthState, ProviderAuthenticator
from hub.oidc.errors import NothingRevoked, NotRevoked, OIDCError, Refused, Unavailable
from hub.oidc.patience import Patience

HAND_OVER_SECONDS = 10.0
"""How long a request waits until the notebook has its fresh tokens; they also come at the next."""

MOST_AT_ONCE = 8
"""Concurrent refreshes. With more, the hub's other requests wait for all of them."""

WRITTEN_SECONDS = 3600.0
"""How often a confirmation is written although nothing changed. After a restart, the hub counts the
provider's absence from there."""

MOST_RENEWALS = 4096
"""How many used-up refresh tokens are remembered, with what they were renewed to."""

_MAY_GO_ON = version_info >= (6,)
"""JupyterHub 6 may go on with a login that it cannot confirm; 5.5 never does."""

_LONG_AGO = 1.0
"""Of a user who was turned away: neither recent, nor to be tolerated while the provider is away."""

_SESSION_IS_OVER = "invalid_grant"
"""RFC 6749, 5.2. Any other refusal is about the hub's own registration, not about the user."""


@dataclass(frozen=True, slots=True)
class _Confirmation:
    """When the provider last confirmed a user.

    It is kept in memory because auth_state is encrypted: to decrypt it takes longer than all else
    in a refresh that changes nothing.

    Attributes:
        at: Unix seconds.
        expires_at: The end of the user's access token then; None if the provider did not say.
    """

    at: float
    expires_at: float | None


class SessionAuthenticator(ProviderAuthenticator):
    """Confirms users as JupyterHub asks for it (`auth_refresh_age`), and keeps tokens fresh."""

    provider_absence_seconds = Float(
        86400.0,
        help="""How long users stay logged in while the provider does not answer.

        Counted from when it last confirmed the user. Running servers are never stopped for it.
        """,
    ).tag(config=True)

    token_margin_seconds = Float(
        help="""Refresh an access token that expires within this time.

        The default, three times `auth_refresh_age`, leaves a running notebook no gap.
        """,
    ).tag(config=True)

    confirm_seconds = Float(
        help="""How long what the provider has confirmed counts, if no token is to be refreshed.

        In this time a refresh of JupyterHub asks nobody and writes nothing. A user who loses a
        group is turned away after it at the latest. The default is three times `auth_refresh_age`.
        """,
    ).tag(config=True)

    @default("confirm_seconds")
    def _confirm_seconds_default(self) -> float:
        return 3.0 * float(self.auth_refresh_age or 300)

    @default("token_margin_seconds")
    def _token_margin_seconds_default(self) -> float:
        return 3.0 * float(self.auth_refresh_age or 300)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._started_at = time.time()
        self._patience = Patience(self.issuer)
        self._renewals: OrderedDict[str, AuthState] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._confirmations: dict[str, _Confirmation] = {}
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    def get_handlers(self, app: Any) -> list[tuple[str, type[web.RequestHandler]]]:
        """Oauthenticator's pages; the hub, which asks for them once, then paces its requests."""
        pace(BaseHandler)
        return cast("list[tuple[str, type[web.RequestHandler]]]", super().get_handlers(app))

    def _lock(self, user: User) -> asyncio.Lock:
        """The lock under which a user's refresh token is used.

        A provider that rotates refresh tokens treats a second use as theft and ends the session.
        """
        return self._locks.setdefault(user.name, asyncio.Lock())

    async def refresh_user(
        self, user: User, handler: BaseHandler | None = None, **_options: Any
    ) -> bool | AuthModel:
        """Ask the provider who the user is now.

        Returns:
            The new auth_model; True if all stays as it is, the provider's absence included;
            False if the user must log in again.

        Raises:
            HTTPError: 403, the user is not allowed here any more, and the request cannot be sent to
                the login: it has an API token, or somebody else made it.
        """
        if not self.enable_auth_state:
            return True
        if handler is not None and not hasattr(handler, "_token_authenticated"):
            # JupyterHub 6.1 sets it for tokens only, and reads it for cookies too.
            handler._token_authenticated = False  # noqa: SLF001 - no public way
        if self._is_recent(self._confirmations.get(user.name)):
            return True
        async with self._turns, self._lock(user):
            state = await self._state(user)
            if self._is_recent(self._confirmation(user, state)):
                return True
            answer = await self._refreshed(user, state, handler)
            if isinstance(answer, bool):
                return answer
            stored = await self._stored(user, state or {}, answer)
        if await self._is_allowed(user.name, answer):
            confirmed = answer["auth_state"]
            self._confirmations[user.name] = _Confirmation(time.time(), confirmed.get("expires_at"))
            return True if _is_as_before(user, stored, answer) else answer
        self._confirmations.pop(user.name, None)
        await self._take_over(user, answer)
        return self._turned_away(user, handler)

    async def _stored(self, user: User, state: AuthState, model: AuthModel) -> AuthState:
        """What the database has of the user's login by now.

        A renewal has written the new tokens. Compared with the state from before it, every model
        would be news, and JupyterHub would write it again.
        """
        if model["auth_state"].get("access_token") == state.get("access_token"):
            return state
        return await self._state(user) or {}

    async def _state(self, user: User) -> AuthState | None:
        """A user's auth_state without what is not as this class writes it; None without any."""
        state = await user.get_auth_state()
        return None if state is None else _sound(state, self.user_auth_state_key)

    def _unreadable(self, user: User, handler: BaseHandler | None) -> bool:
        """Whether a user stays whose auth_state was encrypted with a key that the hub lost.

        A browser is sent to the login, which writes a new one. Others cannot be sent there: for
        them it is as for users who have never logged in.
        """
        self.log.warning("The login of user %s cannot be read: they must log in again", user.id)
        return handler is None or not _is_browser(user, handler)

    def _is_recent(self, known: _Confirmation | None) -> bool:
        """Whether the provider has just confirmed a user, and no token ends soon."""
        if known is None or self.refresh_user_hook is not None:
            return False
        now = time.time()
        if known.expires_at and known.expires_at - now < self.token_margin_seconds:
            return False
        return now - known.at < self.confirm_seconds

    def _confirmation(self, user: User, state: AuthState | None) -> _Confirmation | None:
        """What auth_state and this hub know; None of a user who has never logged in."""
        if not state or not state.get("access_token"):
            return None
        return _Confirmation(self._known_since(user, state), self._newest(state).get("expires_at"))

    def _known_since(self, user: User, state: AuthState) -> float:
        """When the provider last confirmed the user, Unix seconds; 0 if never."""
        known = self._confirmations.get(user.name)
        return max(known.at if known else 0.0, state.get("confirmed_at") or 0.0)

    async def _refreshed(
        self, user: User, state: AuthState | None, handler: BaseHandler | None
    ) -> bool | AuthModel:
        if self.refresh_user_hook is not None:
            answer = await self._call_refresh_user_hook(user, state)
            if answer is not None:
                return cast("bool | AuthModel", answer)
        if state is None and user.encrypted_auth_state:
            return self._unreadable(user, handler)
        if not state or not state.get("access_token"):
            # They have never logged in: a service or an administrator starts their servers. The
            # provider has nothing to say about them, and there is no login to repeat.
            return True
        state = self._newest(state)
        try:
            return await self._confirmed(user, state)
        except Unavailable as exc:
            return self._tolerates(user, state, exc)
        except Refused as exc:
            self.log.info("User %s must log in again: %s", user.id, exc)
            return False

    async def _confirmed(self, user: User, state: AuthState) -> AuthModel:
        self._patience.check()
        try:
            model = await self._asked_again(user, state)
        except Unavailable:
            self._patience.failed()
            raise
        self._patience.succeeded()
        known = (state.get(self.user_auth_state_key) or {}).get("sub")
        if known and known != model["auth_state"][self.user_auth_state_key].get("sub"):
            raise Refused("the provider says that it is another user now")
        return model

    async def _asked_again(self, user: User, state: AuthState) -> AuthModel:
        expires_at = state.get("expires_at")
        is_due = expires_at and expires_at - time.time() < self.token_margin_seconds
        if is_due and state.get("refresh_token"):
            info = await self.renew_tokens(user, state)
            return cast("AuthModel", await self._token_to_auth_model(info))
        try:
            return cast("AuthModel", await self._token_to_auth_model(_token_response(state)))
        except Refused:
            if not state.get("refresh_token"):
                raise
        info = await self.renew_tokens(user, state)
        return cast("AuthModel", await self._token_to_auth_model(info))

    async def renew_tokens(self, user: User, state: AuthState) -> dict[str, Any]:
        """Get fresh tokens for the refresh token, keep them, and give them to running servers.

        They are stored before anything else can fail: the old refresh token may be used up.

        Raises:
            Refused: The user's session at the provider is over.
            Unavailable: There are no fresh tokens now; the old ones are as good as before.
        """
        if not state.get("refresh_token"):
            raise Refused("there is no refresh token")
        params = self.build_refresh_token_request_params(state["refresh_token"])
        try:
            info = await self.get_token_info(None, params)
        except Refused as exc:
            if exc.error == _SESSION_IS_OVER:
                raise
            raise Unavailable(f"the hub's own registration is refused: {exc}") from exc
        for kept in ("refresh_token", "id_token"):
            if not info.get(kept) and state.get(kept):
                info[kept] = state[kept]
        renewed = OAuthenticator.build_auth_state_dict(self, info, {})
        del renewed[self.user_auth_state_key]  # what the provider says of the user comes later
        renewed["expires_at"] = info.get("expires_at")
        self._confirmations.pop(user.name, None)  # it has the old token's end
        if info["refresh_token"] != state["refresh_token"]:
            self._renewals[state["refresh_token"]] = renewed
            if len(self._renewals) > MOST_RENEWALS:
                self._renewals.popitem(last=False)
        await user.save_auth_state({**state, **renewed})
        await self._hand_over(user, info)
        return info

    def _newest(self, state: AuthState) -> AuthState:
        """The state with the tokens that its own were renewed to.

        JupyterHub stores what `refresh_user` returned after the lock is released. So a slow request
        can put back a state from before a renewal, whose refresh token is used up.
        """
        for _ in range(MOST_RENEWALS):
            renewed = self._renewals.get(state.get("refresh_token") or "")
            if renewed is None:
                break
            state = {**state, **renewed}
        return state

    async def _hand_over(self, user: User, info: Mapping[str, Any]) -> None:
        """Give tokens to the user's running servers, where the spawner can take them."""
        tokens = info["access_token"], info.get("id_token") or ""
        for spawner in list(user.spawners.values()):
            if not spawner.active or not hasattr(spawner, "set_tokens"):
                continue
            try:
                async with asyncio.timeout(HAND_OVER_SECONDS):
                    await spawner.set_tokens(*tokens)
            except Exception as exc:  # noqa: BLE001 - no spawner's trouble may log a user out
                self.log.warning("A server of user %s keeps its old tokens: %r", user.id, exc)

    async def run_post_auth_hook(self, handler: BaseHandler, auth_model: AuthModel) -> AuthModel:
        """After a login, running servers get the new tokens too."""
        model = cast("AuthModel", await super().run_post_auth_hook(handler, auth_model))
        user = handler.find_user(model["name"]) if hasattr(handler, "find_user") else None
        state = model.get("auth_state") or {}
        self._confirmations.pop(self.normalize_username(model["name"]), None)
        if user is not None and state.get("access_token"):
            await self._hand_over(user, state)
        return model

    async def authenticate(
        self, handler: BaseHandler, data: Any = None, **kwargs: Any
    ) -> AuthModel | None:
        """Log in; if JupyterHub will refuse the user, remove their old groups."""
        model = await super().authenticate(handler, data, **kwargs)
        if model and hasattr(handler, "find_user"):
            name = self.normalize_username(model["name"])
            user = handler.find_user(name)
            if user is not None and not await self._is_allowed(name, model):
                await self._take_over(user, model)
        return model

    def _tolerates(self, user: User, state: AuthState, exc: Unavailable) -> bool:
        absent = time.time() - (self._known_since(user, state) or self._started_at)
        stays = absent <= self.provider_absence_seconds
        self.log.warning(
            "User %s, last confirmed %.0f s ago, %s: %s",
            user.id,
            absent,
            "stays logged in" if stays else "must log in again",
            exc,
        )
        return stays

    async def _is_allowed(self, name: str, model: AuthModel) -> bool:
        """Apply the rules of a login again."""
        if not await maybe_future(self.check_blocked_users(name, model)):
            return False
        return bool(self.allow_all or await maybe_future(self.check_allowed(name, model)))

    async def _take_over(self, user: User, model: AuthModel) -> None:
        """Store what the provider says now, although JupyterHub discards it with the refusal.

        Otherwise a server that a service or an administrator starts would have the old groups.
        """
        await user.save_auth_state({**model["auth_state"], "confirmed_at": _LONG_AGO})
        if self.manage_groups:
            user.sync_groups(model.get("groups") or [])

    def _turned_away(self, user: User, handler: BaseHandler | None) -> bool:
        self.log.warning("User %s is not allowed here any more", user.id)
        if handler is None or not _MAY_GO_ON:
            return False
        if _is_browser(user, handler):
            return False  # it is sent to the login, which says why
        raise web.HTTPError(403, self.custom_403_message)

    async def replace_tokens(self, user: User) -> None:
        """Give a user fresh tokens, then revoke the access token that they had (RFC 7009).

        Raises:
            NothingRevoked: There is no fresh token; the old one is as good as before.
            NotRevoked: There is a fresh token, but the provider did not revoke the old one.
        """
        async with self._lock(user):
            state = self._newest(await self._state(user) or {})
            try:
                await self.renew_tokens(user, state)
            except OIDCError as exc:
                raise NothingRevoked(str(exc)) from exc
            old = {"token": state["access_token"], "token_type_hint": "access_token"}
            try:
                if not self.revoke_url:
                    raise Unavailable("the provider revokes no tokens: set revoke_url")
                await self.ask_as_client(self.revoke_url, "revocation", old)
            except OIDCError as exc:
                raise NotRevoked(str(exc)) from exc


def _is_browser(user: User, handler: BaseHandler) -> bool:
    """Whether a request is the user's own, by cookie: it can be sent to the login."""
    is_being_identified = getattr(handler, "_jupyterhub_user", user) is user
    return handler.get_auth_token() is None and is_being_identified


def _sound(state: object, about: str) -> AuthState:
    """What of an auth_state can be used; earlier authenticators and hooks wrote others.

    Args:
        state: as the database has it.
        about: the key with what the provider said of the user.
    """
    if not isinstance(state, Mapping):
        return {}
    kinds: dict[str, Any] = {
        **dict.fromkeys(("access_token", "refresh_token", "id_token"), str),
        **dict.fromkeys(("expires_at", "confirmed_at"), (int, float)),
        **dict.fromkeys((about, "token_response"), Mapping),
    }
    return {
        key: value
        for key, value in state.items()
        if value is None or isinstance(value, kinds.get(key, object))
    }


def _token_response(state: AuthState) -> AuthState:
    """The provider's answer with the tokens; earlier authenticators kept only what was in it."""
    kept = state.get("token_response")
    if kept and kept.get("access_token"):
        return cast("AuthState", kept)
    names = ("access_token", "refresh_token", "id_token", "expires_at")
    return {name: state[name] for name in names if state.get(name)}


def _is_as_before(user: User, state: AuthState, model: AuthModel) -> bool:
    """Whether a confirmation says nothing new, so that nothing needs to be written."""
    new = model["auth_state"]
    written = state.get("confirmed_at") or 0.0
    if new.get("confirmed_at", 0.0) - written > WRITTEN_SECONDS or model.get("admin") is not None:
        return False
    changed = any(
        new.get(key) != state.get(key) for key in new.keys() | state.keys() if key != "confirmed_at"
    )
    return not changed and set(model.get("groups") or ()) == {group.name for group in user.groups}
