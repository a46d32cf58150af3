"""Starts the service: checks what it may be reached by, takes the port, serves until it is told to end.

Beyond loopback it demands tokens, and TLS or a proxy that speaks it. Parses no command line.
"""

import errno
import signal
import socket
import ssl
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from curation.errors import CurationError
from curation.feedback.log import FeedbackLog
from feedback_service.app import create_app
from feedback_service.datasets import ServedDataset
from feedback_service.protocol import BoundedHead
from feedback_service.settings import Settings
from feedback_service.tokens import Tokens
from resources.home import Home, now

FINISH_S = 3
"""What requests under way get after SIGTERM; with closing the log the process ends within 5 s."""


def tokens_of(home: Home) -> Tokens:
    """The tokens of a home, for the service and for `curation token`."""
    return Tokens(home.secrets / "tokens.json")


def serve(
    home: Home,
    datasets: Mapping[str, ServedDataset],
    settings: Settings,
    tell: Callable[[str], None],
    prompts: Collection[str] = (),
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was taken and return. Runs in the main thread.

    `tell` hears the address once the port is taken. CurationError where it may not or cannot be reached this way.
    """
    home.prepare()
    tokens = tokens_of(home)
    family, address = _resolved(settings)
    is_loopback = ip_address(address[0]).is_loopback
    _check_reach(settings, tokens, is_loopback)
    with _bound(family, address) as listener, FeedbackLog(home.feedback_log, home.subject_key()) as log:
        log.head()  # a damaged log is told here, and not by a traceback of uvicorn
        app = create_app(settings, home, log, datasets, tokens, now, prompts)
        server = uvicorn.Server(_config(app, settings))

        def end(*_: object) -> None:
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them once more when it is done: here they end nothing
            signal.signal(number, end)
        scheme = "https" if settings.certificate else "http"
        name = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
        tell(f"feedback service: {scheme}://{name}:{listener.getsockname()[1]}")
        if not tokens.are_required():
            tell("no tokens: whoever can log in to this machine may write; make some with: curation token create")
        server.run(sockets=[listener])


def _resolved(settings: Settings) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Family and address that the host name stands for just now; bound as it is, so that the checks hold for it."""
    try:
        family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CurationError(f"{settings.host!a} is no address of this machine", "serve on 127.0.0.1") from error
    return family, (str(address[0]), int(address[1]))


def _check_reach(settings: Settings, tokens: Tokens, is_loopback: bool) -> None:
    if bool(settings.certificate) != bool(settings.key):
        raise CurationError("TLS needs a certificate and its key", "give both, or neither")
    if is_loopback and not settings.is_behind_proxy:
        return
    if not tokens.are_required():
        through = " through the proxy" if settings.is_behind_proxy else ""
        told = f"{settings.host} can be reached from other machines{through}, and there are no tokens"
        raise CurationError(told, "make one with: curation token create NAME --role capture")
    if not (settings.certificate or settings.is_behind_proxy):
        told = f"{settings.host} can be reached from other machines, and tokens would cross the network unencrypted"
        raise CurationError(told, "give --certificate and --key, or --behind-proxy where a proxy speaks TLS")


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(address, family=family, backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fix = "end what listens there, or choose another with --port"
            raise CurationError(f"port {address[1]} of {address[0]} is taken", fix) from error
        told = f"cannot listen on {address[0]} port {address[1]}: {error.strerror}"
        raise CurationError(told, "choose another with --host and --port") from error


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=BoundedHead,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=FINISH_S,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        fix = "give a PEM file each, readable to this user"
        raise CurationError(f"cannot use the certificate {settings.certificate} with its key: {error}", fix) from error
    return config
