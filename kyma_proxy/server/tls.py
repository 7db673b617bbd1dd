"""TLS on the data listener: a certificate that is loaded anew when its files change."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import structlog

from kyma_proxy.settings import ConfigError, Settings, TlsSettings

RELOAD_SECONDS = 5.0
"""How often the files are looked at."""

_log = structlog.get_logger("kyma_proxy.server")


class CertificateError(Exception):
    """A certificate or its key cannot be used; the message names the files and says why."""


class Certificate:
    """A certificate with its key, as a context for a listener.

    New connections get the newest pair that could be loaded; those there are keep theirs. A pair that does not fit
    (half of it replaced so far) is told in the log and looked at again. Raises CertificateError when made.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._stamp = self._look()
        self._newest = load_context(settings)
        self.context = load_context(settings)
        """For the listener; it hands each connection to the newest pair, whatever name the client asks for."""
        self.context.sni_callback = self._choose

    def __repr__(self) -> str:
        return f"Certificate({self._settings.certificate})"

    async def reload_if_changed(self) -> bool:
        """Load the pair if a file has changed since it was last loaded; whether it was loaded."""
        return await asyncio.to_thread(self._reload)

    def _reload(self) -> bool:
        stamp = self._look()
        if stamp == self._stamp:
            return False
        try:
            self._newest = load_context(self._settings)
        except CertificateError as error:
            _log.error("certificate_not_reloaded", error=str(error))
            return False
        self._stamp = stamp
        _log.info("certificate_reloaded", certificate=str(self._settings.certificate))
        return True

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp_of(each) for each in (self._settings.certificate, self._settings.key))


def check_certificate(settings: Settings) -> None:
    """Raises ConfigError, with the position, if the configured certificate cannot be used."""
    if settings.server.tls is None:
        return
    try:
        load_context(settings.server.tls)
    except CertificateError as error:
        raise ConfigError((settings.problem(("server", "tls", "certificate"), str(error)),)) from error


def load_context(settings: TlsSettings) -> ssl.SSLContext:
    """A server context of TLS 1.2 and newer, for HTTP/1.1. Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A key that asks for a password would wait for somebody at the terminal.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error) if not isinstance(error, ssl.SSLError) else error.reason or str(error)
        raise CertificateError(
            f"the certificate {settings.certificate} and the key {settings.key} cannot be used: {reason}"
        ) from error
    return context


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced, also through a symbolic link."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
