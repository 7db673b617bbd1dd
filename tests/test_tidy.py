"""The repository keeps its own rules: tests/support/tidy/ defines them, tests/tidy/ shows that each can fail."""

from __future__ import annotations

import importlib.metadata
import tomllib
from typing import Any

import pytest
from pydantic import BaseModel

from tidy import docs, docstrings, imports, lock, mirror, single_places, sizes, words
from tidy.tree import ROOT, Modules, parse_modules, product, read_texts, tracked_files

# A test that lists every error does not provoke it.
_TESTS_THAT_ONLY_LIST = ("tests/test_tidy.py", "tests/tidy/", "tests/support/tidy/", "tests/kyma_proxy/test_errors.py")


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return read_texts()


@pytest.fixture(scope="module")
def modules(texts: dict[str, str]) -> Modules:
    return parse_modules(texts)


@pytest.fixture(scope="module")
def pyproject(texts: dict[str, str]) -> dict[str, Any]:
    return tomllib.loads(texts["pyproject.toml"])


@pytest.fixture(scope="module")
def tests_text(texts: dict[str, str]) -> str:
    python = {path: text for path, text in texts.items() if path.startswith("tests/") and path.endswith(".py")}
    return "\n".join(text for path, text in python.items() if not path.startswith(_TESTS_THAT_ONLY_LIST))


@pytest.fixture(scope="module")
def docs_text(texts: dict[str, str]) -> str:
    return "\n".join(text for path, text in texts.items() if path == "README.md" or _is_page(path))


def _is_page(path: str) -> bool:
    return path.startswith("docs/") and path.endswith(".md")


def _expect_none(findings: list[str]) -> None:
    if findings:
        pytest.fail("\n".join(findings), pytrace=False)


def test_every_source_file_has_its_test() -> None:
    _expect_none(mirror.missing_tests(tracked_files()))


def test_functions_are_short(modules: Modules) -> None:
    _expect_none(sizes.long_functions(modules))


def test_most_functions_of_the_product_are_shorter_still(modules: Modules) -> None:
    allowed = sizes.FUNCTION_LINES_P95_MAX
    longest = "\n".join(sizes.long_functions(product(modules), allowed))
    assert sizes.function_lines_p95(product(modules)) <= allowed, f"more than 5% exceed {allowed} lines:\n{longest}"


def test_files_are_short(texts: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    _expect_none(sizes.long_files(texts))
    with capsys.disabled():
        for finding in sizes.long_files(texts, sizes.FILE_LINES_AIM):
            print(f"\naim, not a failure: {finding}", end="")


def test_parameter_lists_are_short(modules: Modules) -> None:
    _expect_none(
        sizes.long_parameter_lists({path: it for path, it in modules.items() if not path.startswith("tests/")})
    )


def test_imports_respect_the_walls(modules: Modules) -> None:
    _expect_none(imports.forbidden_imports(modules))


def test_single_places_are_single(modules: Modules) -> None:
    _expect_none(single_places.misplaced(product(modules)))


def test_public_code_is_documented(modules: Modules) -> None:
    _expect_none(docstrings.undocumented(product(modules)))


def test_no_file_says_what_it_should_not(texts: dict[str, str]) -> None:
    _expect_none(words.forbidden_words(texts))


def test_lock_is_complete_and_names_no_place(texts: dict[str, str], pyproject: dict[str, Any]) -> None:
    _expect_none(lock.lock_findings(texts["requirements.lock"], pyproject))


def test_the_product_declares_what_it_imports(modules: Modules, pyproject: dict[str, Any]) -> None:
    providers = importlib.metadata.packages_distributions()
    project = pyproject["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["tracing"]]
    _expect_none(lock.undeclared_imports(product(modules), declared, providers))


def test_every_plugin_is_documented(texts: dict[str, str], pyproject: dict[str, Any]) -> None:
    _expect_none(docs.undocumented_plugins(_entry_points(pyproject), texts))


def test_every_plugin_field_is_documented(texts: dict[str, str], pyproject: dict[str, Any], docs_text: str) -> None:
    for name, target in _entry_points(pyproject).items():
        plugin = importlib.metadata.EntryPoint(name, target, "kyma_proxy.plugins").load()
        models = list(docs.config_models(plugin.config_model))
        readme = f"plugins/{target.split('.', maxsplit=1)[0]}/README.md"
        _expect_none(docs.undescribed_fields(models))
        _expect_none(docs.unmentioned_fields(models, f"{texts.get(readme, '')}\n{docs_text}", readme))


def test_every_setting_is_documented(docs_text: str) -> None:
    from kyma_proxy.settings import models as settings

    models = [it for it in vars(settings).values() if isinstance(it, type) and issubclass(it, BaseModel)]
    ours = {it for model in models for it in docs.config_models(model) if it.__module__.startswith("kyma_proxy.")}
    assert ours, "kyma_proxy.settings.models defines no models"
    ordered = sorted(ours, key=lambda model: model.__qualname__)
    _expect_none(docs.undescribed_fields(ordered))
    _expect_none(docs.unmentioned_fields(ordered, docs_text, "README.md"))


def test_every_error_is_documented_and_provoked(docs_text: str, tests_text: str) -> None:
    from kyma_proxy.errors import ErrorCode

    refusals = [docs.Refusal(code.name, code.status, code.code) for code in ErrorCode]
    _expect_none(docs.undocumented_refusals(refusals, docs_text) + docs.unprovoked_refusals(refusals, tests_text))


def test_every_command_is_documented_and_run(docs_text: str, tests_text: str) -> None:
    from kyma_proxy.cli import main

    paths = list(docs.command_paths(main))
    assert paths, "kyma-proxy has no commands"
    _expect_none(docs.undocumented_commands(paths, docs_text) + docs.untested_commands(paths, tests_text))


def test_the_repository_is_found_whole() -> None:
    assert {"pyproject.toml", "kyma_proxy/errors.py", "tests/test_tidy.py"} <= set(tracked_files())
    assert (ROOT / "pyproject.toml").is_file()


def _entry_points(pyproject: dict[str, Any]) -> dict[str, str]:
    return dict(pyproject["project"]["entry-points"]["kyma_proxy.plugins"])
