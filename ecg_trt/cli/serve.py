"""``ecg-trt serve``: a page to read and correct photos on, and REST."""

from __future__ import annotations

import secrets
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from ecg_trt.cli.console import EXIT_INTERRUPTED, NOTICE, report
from ecg_trt.config import AUTO, BACKENDS, RuntimeOptions
from ecg_trt.errors import EcgTrtError, OptionError, install_hint
from ecg_trt.io.lazy import missing_module

if TYPE_CHECKING:
    from ecg_trt.server.settings import ServerOptions

_MODULES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_LONGEST_END_S = 5
_MOST_CONNECTIONS = 64


@click.command(
    short_help="Serve a page to read and correct photos on, and REST.",
    help="Serve a page on which photos are read, compared, corrected and exported, and the same as REST "
    "(/openapi.json). Only this machine reaches it, unless --host is another; then every request needs the token. "
    f"Files lie in one temporary folder, and are gone at the end.\n\n{NOTICE}",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--token", envvar="ECG_TRT_TOKEN", default="", help="Bearer token that requests must carry; made if "
              "--host is not this machine alone. Also $ECG_TRT_TOKEN.")  # fmt: skip
@click.option("--name", "names", multiple=True, help="Host name under which requests may come, as behind a proxy.")
@click.option("--backend", default=AUTO, show_default=True, type=click.Choice(BACKENDS))
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1), help="That read pages; 0.9 GB each.")
@click.option("--max-upload", "max_upload_mb", default=64.0, show_default=True, metavar="MB", help="Of a request.")
@click.option("--max-pixels", default=50_000_000, show_default=True, help="Of a picture.")
@click.option("--waiting", default=64, show_default=True, help="Pages that may wait; more are answered with 503.")
@click.option("--rate", default=240.0, show_default=True, help="Uploads and changes a minute and client; more get 429.")
@click.option("--timeout", "timeout_s", default=120.0, show_default=True, metavar="S", help="Of the reading of a page.")
@click.option("--keep", "keep_s", default=3600.0, show_default=True, metavar="S", help="Time that a record is kept.")
@click.option("--max-records", default=100, show_default=True, help="Records kept at a time, about 30 MB each.")
def serve(host: str, port: int, token: str, names: tuple[str, ...], backend: str, **limits: float) -> None:
    """Serve a page to read and correct photos on."""
    try:
        _serve(host, port, token, names, backend, limits)
    except EcgTrtError as error:
        sys.exit(report(error))


def _serve(host: str, port: int, token: str, names: tuple[str, ...], backend: str, limits: dict[str, float]) -> None:
    missing = missing_module(_MODULES)
    if missing is not None:
        raise OptionError("The server cannot be started", got=f"no package {missing}", expected="the extra web",
                          hint=install_hint("web"))  # fmt: skip
    import tempfile

    import uvicorn

    from ecg_trt.processes import ProcessPool, threads_each
    from ecg_trt.server.app import create_app
    from ecg_trt.server.jobs import open_worker
    from ecg_trt.server.record_store import RecordStore
    from ecg_trt.server.settings import ServerOptions

    is_open = not ServerOptions(token="-", host=host).is_loopback
    token = token or (secrets.token_urlsafe(16) if is_open else "")
    options = ServerOptions(host=host, port=port, token=token, names=names, **limits)  # type: ignore[arg-type]
    runtime = RuntimeOptions(backend=backend, threads=threads_each(options.processes))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_INTERRUPTED))  # What is open is closed on the way out.
    with (
        _listening(host, port) as listener,
        RecordStore(options.max_records, options.keep_s) as store,
        ProcessPool(partial(open_worker, runtime), options.processes, timeout_s=options.timeout_s) as pool,
    ):
        tempfile.tempdir = str(store.folder)  # Uploads that are still coming lie there too.
        config = uvicorn.Config(
            create_app(options, pool, store), log_level="warning", server_header=False, proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS, timeout_keep_alive=10, timeout_graceful_shutdown=_LONGEST_END_S,
        )  # fmt: skip
        _announce(options)
        for number in (signal.SIGINT, signal.SIGTERM):  # Uvicorn ends on them, and then raises them once more.
            signal.signal(number, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """Open the socket, before anything that takes long.

    Raises:
        OptionError: the address is not this machine's, or the port is taken.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OptionError(f"{host}:{port} cannot be listened on", got=(error.strerror or str(error)).lower(),
                          expected="an address of this machine, and a free port",
                          hint="Choose another with --host or --port.") from error  # fmt: skip


def _announce(options: ServerOptions) -> None:
    """Say where the page is, and who can reach it."""
    shown = f"[{options.host}]" if ":" in options.host else options.host
    fragment = f"#token={options.token}" if options.token else ""
    click.echo(f"http://{shown}:{options.port}/{fragment}")
    if not options.is_loopback:
        warning = (
            "Warning: every machine on this network can reach the server, under this machine's own address, and it "
            "does not encrypt: put a proxy with TLS before it. Requests need the token."
        )
        click.secho(warning, err=True, fg="yellow")
    click.echo(f"{NOTICE}. Ctrl-C ends the server and removes its files.", err=True)
