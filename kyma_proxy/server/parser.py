"""Which of aiohttp's two HTTP parsers is at work."""

from __future__ import annotations

from aiohttp import http_parser

from kyma_proxy.settings import ConfigError, Settings


def require_c_parser(settings: Settings) -> None:
    """Raises ConfigError when aiohttp fell back to its parser in Python, unless `server.allow_python_parser` is set.

    aiohttp does that silently, where its wheel does not fit or its extensions are switched off. The other parser reads
    other things into malformed requests than the one that the gateway is tested with, and is several times slower.
    """
    if settings.server.allow_python_parser or http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy:
        return
    message = (
        "aiohttp runs on its parser in Python, which reads malformed requests otherwise than the one in C: install a "
        "wheel of aiohttp that fits this Python and unset AIOHTTP_NO_EXTENSIONS, or set "
        "server.allow_python_parser: true to start all the same"
    )
    raise ConfigError((settings.problem(("server", "allow_python_parser"), message),))
