"""``ecg-trt serve``: a page to read and correct photos on, and REST."""

from __future__ import annotations

import secrets
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from ecg_trt.cli.console import EXIT_FAILED, NOTICE, report
from ecg_trt.config import AUTO, BACKENDS, RuntimeOptions
from ecg_trt.errors import EcgTrtError, OptionError, install_hint
from ecg_trt.io.lazy import missing_module

if TYPE_CHECKING:
    from ecg_trt.server.settings import ServerOptions

_MODULES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_LONGEST_END_S = 5


@click.command(
    short_help="Serve a page to read and correct photos on, and REST.",
    help="Serve a page on which photos are read, looked at, corrected and exported, and the same as REST "
    "(/openapi.json). Only this machine reaches it, unless --host says otherwise; then every request needs the token. "
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
        sys.exit(_serve(host, port, token, names, backend, limits))
    except EcgTrtError as error:
        sys.exit(report(error))


def _serve(host: str, port: int, token: str, names: tuple[str, ...], backend: str, limits: dict[str, float]) -> int:
    missing = missing_module(_MODULES)
    if missing is not None:
        raise OptionError("The server cannot be started", got=f"no package {missing}", expected="the extra web",
                          hint=install_hint("web"))  # fmt: skip
    import tempfile

    import uvicorn

    from ecg_trt.processes import ProcessPool, threads_each
    from ecg_trt.server.app import create_app
    from ecg_trt.server.jobs import open_worker
    from ecg_trt.server.settings import ServerOptions

    is_open = not ServerOptions(token="-", host=host).is_loopback
    token = token or (secrets.token_urlsafe(16) if is_open else "")
    options = ServerOptions(host=host, port=port, token=token, names=names, **limits)  # type: ignore[arg-type]
    runtime = RuntimeOptions(backend=backend, threads=threads_each(options.processes))
    with ProcessPool(partial(open_worker, runtime), options.processes, timeout_s=options.timeout_s) as pool:
        app = create_app(options, pool)
        tempfile.tempdir = str(app.state.service.store.folder)  # Uploads that are still coming lie there too.
        _announce(options)
        config = uvicorn.Config(
            app, host=host, port=port, log_level="warning", server_header=False, proxy_headers=False,
            limit_concurrency=200, timeout_keep_alive=10, timeout_graceful_shutdown=_LONGEST_END_S,
        )  # fmt: skip
        server = uvicorn.Server(config)
        for number in (signal.SIGINT, signal.SIGTERM):  # Uvicorn ends on them, and then raises them once more.
            signal.signal(number, lambda *_: None)
        server.run()
    return 0 if server.started else EXIT_FAILED


def _announce(options: ServerOptions) -> None:
    """Say where the page is, and who can reach it."""
    shown = f"[{options.host}]" if ":" in options.host else options.host
    fragment = f"#token={options.token}" if options.token else ""
    click.echo(f"http://{shown}:{options.port}/{fragment}")
    if not options.is_loopback:
        click.secho("Warning: every machine on this network can reach the server, and it does not encrypt: put it "
                    "behind a proxy with TLS. Requests need the token.", err=True, fg="yellow")  # fmt: skip
    click.echo(f"{NOTICE}. Ctrl-C ends the server and removes its files.", err=True)
