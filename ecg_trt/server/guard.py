"""Guard in front of the app: who may ask, how often, how much at once, and the headers of every answer."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecg_trt.server.problems import RequestError, problem_response, unforeseen
from ecg_trt.server.settings import MEGABYTE, ServerOptions

_log = logging.getLogger(__name__)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}
_WITH_BODY = ("POST", "PUT", "PATCH")
_SAFE = ("GET", "HEAD", "OPTIONS")
_PROTECTED = ("/v1/", "/metrics")
_MOST_CLIENTS = 10_000  # Clients whose rate is remembered.
_MINUTE_S = 60.0
_LONGEST_DRAIN_S = 10.0


class RateLimiter:
    """Token buckets, one a client: each holds half a minute's requests, and fills up steadily.

    Args:
        rate: requests a minute.
        clock: seconds, monotonic.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._most, self._clock = rate / _MINUTE_S, max(1.0, rate / 2), clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_s(self, client: str) -> float:
        """Take one request from a client's bucket; return 0, or the seconds until it holds one again."""
        now = self._clock()
        left, since = self._buckets.pop(client, (self._most, now))
        left = min(self._most, left + self._per_s * (now - since))
        is_allowed = left >= 1.0
        self._buckets[client] = (left - is_allowed, now)
        while len(self._buckets) > _MOST_CLIENTS:  # The first is the one that has been silent longest.
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if is_allowed else (1.0 - left) / self._per_s


class Guard:
    """ASGI middleware that checks every request before the app sees it.

    Args:
        app: what it guards.
        options: of the server.
        count: called with (method, status) of every answer.
    """

    def __init__(self, app: ASGIApp, options: ServerOptions, count: Callable[[str, int], None]) -> None:
        self._app, self._options, self._count = app, options, count
        self._limiter = RateLimiter(options.rate)
        self._timeout_s = 2 * options.timeout_s  # An upload, or a wait for a reading, takes no longer.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                self._count(scope["method"], message["status"])
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store" if _is_protected(scope["path"]) else "no-cache")
            await send(message)

        try:
            self._check(scope)
            with anyio.fail_after(self._timeout_s):
                await self._app(scope, receive, send_with_headers)
        except RequestError as error:
            await self._drain(receive)
            await problem_response(error)(scope, receive, send_with_headers)
        except ClientDisconnect:
            return  # In mid-upload: nobody waits for an answer.
        except TimeoutError:
            if not has_started:
                await problem_response(self._too_slow())(scope, receive, send_with_headers)
        except Exception as error:
            _log.exception("a request failed")
            if not has_started:
                await problem_response(unforeseen(error))(scope, receive, send_with_headers)

    async def _drain(self, receive: Receive) -> None:
        """Take the body of a rejected request: a client that is cut off while it sends does not see the answer."""
        left, more = self._options.max_upload_mb * MEGABYTE, True
        with anyio.move_on_after(_LONGEST_DRAIN_S):
            while more and left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                more = message.get("more_body", False)

    def _too_slow(self) -> RequestError:
        return RequestError(408, "The request took too long", got=f"no end after {self._timeout_s:g} s",
                            expected="a whole request", hint="Send it again.")  # fmt: skip

    def _check(self, scope: Scope) -> None:
        """Raise what stands against a request."""
        headers = Headers(scope=scope)
        self._check_host(headers)
        self._check_origin(scope["method"], headers)
        if _is_protected(scope["path"]):
            self._check_token(headers)
        if scope["method"] in _WITH_BODY:
            self._check_rate(scope)
            self._check_length(headers)

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if not self._options.allows_host(name):
            raise RequestError(
                400, "The request came under an unknown host name", got=repr(host),
                expected="the address that the server listens on", hint="Start the server with --name NAME.",
            )  # fmt: skip

    def _check_origin(self, method: str, headers: Headers) -> None:
        """Reject what another site's page sends: browsers name its origin."""
        origin = headers.get("origin")
        try:
            is_own = origin is None or urlsplit(origin).netloc == headers.get("host")
        except ValueError:
            is_own = False
        if method in _SAFE or (is_own and headers.get("sec-fetch-site", "none") in ("same-origin", "none")):
            return
        raise RequestError(403, "The request comes from another site", got=f"origin {origin}",
                           expected="none, or the server's own", hint="Use the server's own page.")  # fmt: skip

    def _check_token(self, headers: Headers) -> None:
        if not self._options.token:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        expected = self._options.token.encode()
        if scheme.lower() == "bearer" and secrets.compare_digest(given.strip().encode(), expected):
            return
        raise RequestError(
            401, "The request carries no valid token", got=f"the scheme {scheme!r}" if scheme else "no token",
            expected="the header Authorization: Bearer TOKEN", hint="The server showed its token when it started.",
            headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip

    def _check_rate(self, scope: Scope) -> None:
        wait_s = self._limiter.wait_s((scope.get("client") or ("",))[0])
        if wait_s:
            raise RequestError(
                429, "Too many requests", got=f"more than {self._options.rate:g} a minute",
                expected=f"at most {self._options.rate:g} a minute", hint="Wait, then send it again.",
                headers={"Retry-After": str(1 + int(wait_s))},
            )  # fmt: skip

    def _check_length(self, headers: Headers) -> None:
        """Check the length that is announced; the HTTP server holds the client to it."""
        most = self._options.max_upload_mb
        text = headers.get("content-length", "")
        if not text.isdecimal():
            raise RequestError(411, "The request does not say how long it is", got="no Content-Length",
                               expected=f"at most {most:g} MB", hint="Send it in one piece.")  # fmt: skip
        if int(text) > most * MEGABYTE:
            raise RequestError(413, "The request is too large", got=f"{int(text) / MEGABYTE:.1f} MB",
                               expected=f"at most {most:g} MB", hint="Send fewer or smaller files.")  # fmt: skip


def _is_protected(path: str) -> bool:
    return path.startswith(_PROTECTED)
