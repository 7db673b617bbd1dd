"""TLS on the data listener: which certificate a client sees, and when it changes."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest

from kyma_proxy.server.tls import Certificate, CertificateError, load_context
from kyma_proxy.settings import TlsSettings

FIXTURES = Path(__file__).parents[2] / "fixtures" / "tls"


@pytest.fixture
def pair(tmp_path: Path) -> TlsSettings:
    """A certificate in files that a test may replace."""
    settings = TlsSettings(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key")
    replace(settings, "one")
    return settings


def replace(settings: TlsSettings, certificate: str, key: str | None = None) -> None:
    """Put other files in the places of these, as a renewal does."""
    for path, source in ((settings.certificate, f"{certificate}.crt"), (settings.key, f"{key or certificate}.key")):
        fresh = path.with_suffix(".new")
        shutil.copy(FIXTURES / source, fresh)
        fresh.replace(path)


async def name_shown(certificate: Certificate, server_hostname: str | None = "localhost") -> str:
    """The common name of the certificate that a new client is shown."""

    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=certificate.context)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=server_hostname or "")
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    server.close()
    pem = ssl.DER_cert_to_PEM_cert(shown)
    return next(each for each in ("one", "two") if pem.split() == (FIXTURES / f"{each}.crt").read_text().split())


@pytest.mark.parametrize("server_hostname", ["localhost", None], ids=["a name", "no name"])
async def test_new_clients_get_the_certificate_that_was_renewed(pair: TlsSettings, server_hostname: str | None) -> None:
    certificate = Certificate(pair)
    assert await name_shown(certificate, server_hostname) == "one"
    assert not await certificate.reload_if_changed()
    replace(pair, "two")
    assert await name_shown(certificate, server_hostname) == "one"
    assert await certificate.reload_if_changed()
    assert await name_shown(certificate, server_hostname) == "two"
    assert not await certificate.reload_if_changed()


async def test_half_a_renewal_changes_nothing_until_it_is_whole(pair: TlsSettings) -> None:
    certificate = Certificate(pair)
    replace(pair, "two", key="one")
    assert not await certificate.reload_if_changed()
    assert await name_shown(certificate) == "one"
    pair.certificate.unlink()
    assert not await certificate.reload_if_changed()
    replace(pair, "two")
    assert await certificate.reload_if_changed()
    assert await name_shown(certificate) == "two"


@pytest.mark.parametrize("spoil", ["missing", "key of another", "not a certificate"])
def test_a_pair_that_cannot_be_used_says_which(pair: TlsSettings, spoil: str) -> None:
    if spoil == "missing":
        pair.certificate.unlink()
    elif spoil == "key of another":
        replace(pair, "one", key="two")
    else:
        pair.certificate.write_text("hello")
    with pytest.raises(CertificateError, match=r"tls\.crt"):
        load_context(pair)


def test_old_versions_of_tls_are_refused(pair: TlsSettings) -> None:
    assert load_context(pair).minimum_version == ssl.TLSVersion.TLSv1_2
