"""The rule on words can fail. The samples are put together here, so that this file does not break the rule itself."""

from __future__ import annotations

import pytest

from tidy.words import forbidden_words


@pytest.mark.parametrize(
    "line",
    [
        "# TO" + "DO: later",
        "x = 1  # FIX" + "ME",
        "good enough for" + " now",
        "not implemented" + " yet",
        "data: " + "/ro" + "ot/kyma",
        '"/ho' + 'me/user/kyma"',
        "cd (/wor" + "k/main)",
        "see iss" + "ue 12",
        "as iss" + "ue #12 says",
        "the sub" + "agent wrote it",
        "made by Cl" + "aude",
        "https://py" + "pi.org/simple",
        "pip install --index" + "-url x",
        "PIP_INDEX" + "_URL=x",
    ],
)
def test_what_no_file_should_say_is_found_with_its_line(line: str) -> None:
    found = forbidden_words({"docs/a.md": f"fine\n{line}\n"})
    assert len(found) == 1
    assert found[0].startswith("docs/a.md:2: ")


@pytest.mark.parametrize(
    "line",
    [
        "https://example.org/ho" + "me/",
        "$HOME/wor" + "k/",
        "framework/wor" + "k/file",
        "an issue of trust",
        "the client session",
        "photodo and fixmes",
    ],
)
def test_what_only_looks_alike_passes(line: str) -> None:
    assert forbidden_words({"a.md": line}) == []
