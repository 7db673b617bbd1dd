"""The import rules can fail."""

from __future__ import annotations

import ast

import pytest

from tidy.imports import forbidden_imports


def _found(path: str, text: str) -> list[str]:
    return forbidden_imports({path: ast.parse(text)})


@pytest.mark.parametrize(
    "text",
    [
        "from kyma_proxy.api import Plugin",
        "import kyma_proxy.api",
        "from kyma_proxy import api",
        "from kyma_x.config import XConfig",
        "from . import config",
        "import asyncio, mutagen",
    ],
)
def test_a_plugin_may_use_the_kit_and_itself(text: str) -> None:
    assert _found("plugins/kyma_x/plugin.py", text) == []


@pytest.mark.parametrize(
    "text",
    [
        "from kyma_proxy.flow import Flow",
        "from kyma_proxy import flow",
        "import kyma_proxy",
        "from kyma_proxy.testing import audio",
        "from kyma_proxy.api_private import x",
        "import kyma_y",
        "from ..kyma_y import plugin",
        "import plugins.kyma_x",
        "def f():\n    import kyma_proxy.server",
        "import importlib\nimportlib.import_module('kyma_proxy.ledger')",
    ],
)
def test_a_plugin_that_reaches_further_is_found(text: str) -> None:
    assert len(_found("plugins/kyma_x/plugin.py", text)) == 1


def test_the_tests_of_a_plugin_may_use_the_test_kit_and_nothing_else() -> None:
    path = "tests/plugins/kyma_x/test_plugin.py"
    assert _found(path, "from kyma_proxy.testing import audio\nfrom kyma_x.plugin import X") == []
    assert len(_found(path, "from kyma_proxy.flow import Flow")) == 1


@pytest.mark.parametrize("text", ["import kyma_voice_clone.plugin", "import plugins", "from kyma_x import y"])
def test_a_core_that_imports_a_plugin_is_found(text: str) -> None:
    assert len(_found("kyma_proxy/pipeline/loader.py", text)) == 1


@pytest.mark.parametrize("room", ["ledger", "voices"])
@pytest.mark.parametrize(
    "text",
    ["from kyma_proxy.server.intake import x", "from kyma_proxy import upstreams", "from ..upstreams import transport"],
)
def test_books_that_know_the_edge_are_found(room: str, text: str) -> None:
    assert len(_found(f"kyma_proxy/{room}/a.py", text)) == 1
    assert _found("kyma_proxy/app.py", "from kyma_proxy.server.intake import x") == []


def test_the_finding_says_where() -> None:
    assert _found("kyma_proxy/ledger/a.py", "\nimport kyma_proxy.server")[0].startswith("kyma_proxy/ledger/a.py:2: ")
