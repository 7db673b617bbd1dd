from __future__ import annotations

from kyma_proxy.settings.source import SourceMap

SOURCE = SourceMap(
    "g.yaml",
    keys={("plugins",): (4, 1), ("plugins", 0, "use"): (5, 5)},
    values={(): (1, 1), ("plugins",): (5, 3), ("plugins", 0): (5, 5), ("plugins", 0, "use"): (5, 10)},
    from_environment=frozenset({("plugins", 0, "use")}),
)


def test_a_problem_stands_at_the_value_or_at_the_key() -> None:
    assert str(SOURCE.problem(("plugins", 0, "use"), "m")) == "g.yaml:5:10: m"
    assert str(SOURCE.problem(("plugins", 0, "use"), "m", at="key")) == "g.yaml:5:5: m"


def test_what_is_not_in_the_file_stands_at_its_nearest_parent() -> None:
    assert str(SOURCE.problem(("plugins", 0, "config", "price_usd"), "m")) == "g.yaml:5:5: m"
    assert str(SOURCE.problem(("plugins", 7), "m")) == "g.yaml:4:1: m"
    assert str(SOURCE.problem(("nowhere", 7), "m")) == "g.yaml:1:1: m"
    assert str(SourceMap("made").problem(("a",), "m")) == "made:1:1: m"


def test_a_value_with_a_part_from_the_environment_is_hidden() -> None:
    assert SOURCE.hides(("plugins", 0, "use"))
    assert SOURCE.hides(("plugins",))
    assert not SOURCE.hides(("plugins", 1))
