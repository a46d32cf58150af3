"""Who calls: the holder of a token, or a browser that signed in with one and shows a signed cookie since.

A session keeps nothing on the server but the key that signs it, so a restart ends none; the token behind it is looked up at every
request, so a revocation ends it at once. Knows no page and no route.
"""

import datetime
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from itsdangerous import BadData, Signer, URLSafeSerializer

from feedback_service.problems import Problem
from feedback_service.tokens import NAME, Role, Tokens

COOKIE = "curation_session"
CSRF_HEADER = "X-CSRF-Token"
LASTS = datetime.timedelta(hours=12)
"""A working day: whoever begins in the morning is not asked again before the evening."""


@dataclass(frozen=True)
class Caller:
    """Whose request it is. `csrf` is what the pages of this session must send along to change anything; "" for a bearer."""

    name: str
    role: Role
    csrf: str = ""


class Sessions:
    """The sessions of one home: begun with a token, or, where there are no tokens at all, with a name."""

    def __init__(self, key: bytes, tokens: Tokens, clock: Callable[[], datetime.datetime]) -> None:
        self._sealed = URLSafeSerializer(key, salt="session")
        self._csrf = Signer(key, salt="csrf")
        self._tokens = tokens
        self._clock = clock

    def begin(self, presented: str) -> str:
        """The cookie's value for who presents a token, or a name where no tokens are needed. Problem 401, 403 or 422 else."""
        if self._tokens.are_required():
            token = self._tokens.holder(presented)
            if token is None:
                raise Problem(
                    401, "this token is unknown", "ask an administrator for one: curation token create NAME --role annotator"
                )
            if token.role == "capture":
                told = f"the token {token.name} belongs to a product, and products do not label"
                raise Problem(403, told, "sign in with an annotator's token: curation token create NAME --role annotator")
            name, digest = token.name, token.sha256
        else:
            name, digest = presented, ""
            if not NAME.fullmatch(name):
                raise Problem(422, "this cannot be a name here", "use letters, digits, dots, dashes; at most 64, a letter first")
        until = (self._clock() + LASTS).isoformat()
        return self._sealed.dumps([name, digest, until, secrets.token_urlsafe(16)])

    def caller(self, cookie: str | None) -> Caller | None:
        """Whose session a cookie is; None for none, a forged or lapsed one, and one whose token was revoked."""
        if cookie is None:
            return None
        try:
            name, digest, until, number = self._sealed.loads(cookie)
        except BadData:
            return None
        if datetime.datetime.fromisoformat(until) < self._clock():
            return None
        csrf = self._csrf.get_signature(number).decode()
        if not self._tokens.are_required():
            return Caller(name, "admin", csrf) if not digest else None
        token = next((token for token in self._tokens.listed() if (token.name, token.sha256) == (name, digest)), None)
        return Caller(token.name, token.role, csrf) if token else None

    @staticmethod
    def check_is_of(caller: Caller, sent: str | None) -> None:
        """Nothing where a changing request carries what only a page of ours can know. Problem 403 else."""
        if not secrets.compare_digest((sent or "").encode(), caller.csrf.encode()):
            raise Problem(403, "this request does not come from a page of this session", "load the page again", field=CSRF_HEADER)
