"""The reference pages say what the code says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["configuration", "errors", "reasons", "speech"])
def test_the_page_is_what_make_docs_would_write(generate: ModuleType, name: str) -> None:
    written = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert written == getattr(generate, name)(), f"docs/{name}.md is out of date: run `make docs`"


def test_every_plugin_of_the_shipped_configuration_is_documented(generate: ModuleType) -> None:
    shipped = yaml.safe_load((DOCS.parent / "config" / "gateway.yaml").read_text(encoding="utf-8"))
    assert tuple(each["use"] for each in shipped["plugins"]) == generate.SHIPPED_PLUGINS


def test_prices_are_shown_as_they_are_written(generate: ModuleType) -> None:
    assert '| `price_usd` | decimal string | `"4.20"` |' in generate.configuration()
