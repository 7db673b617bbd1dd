from __future__ import annotations

from kyma_proxy.settings.problems import NAME_CHARS_MAX, ConfigError, Problem, quoted, unknown


def test_a_problem_reads_as_file_line_column_message() -> None:
    assert str(Problem("gateway.yaml", 3, 7, "must be text")) == "gateway.yaml:3:7: must be text"


def test_problems_sort_by_position() -> None:
    problems = [Problem("f", 10, 1, "c"), Problem("f", 2, 9, "b"), Problem("f", 2, 3, "z")]
    assert [problem.message for problem in sorted(problems)] == ["z", "b", "c"]


def test_the_error_says_every_problem() -> None:
    error = ConfigError([Problem("f", 1, 1, "one"), Problem("f", 2, 1, "two")])
    assert str(error) == "f:1:1: one\nf:2:1: two"
    assert len(error.problems) == 2


def test_a_near_miss_is_named() -> None:
    message = unknown("key", "drain_secondss", ["listen", "drain_seconds"])
    assert message == 'unknown key "drain_secondss"; did you mean "drain_seconds"?'
    assert unknown("method", "post", ["POST", "GET"]) == 'unknown method "post"; did you mean "POST"?'


def test_without_a_near_miss_a_few_names_are_listed_and_many_are_not() -> None:
    assert unknown("adapter", "zzz", ["minimax", "forward"]) == 'unknown adapter "zzz"; known: "forward", "minimax"'
    assert unknown("plugin", "zzz", []) == 'unknown plugin "zzz"; known: none'
    assert unknown("method", "??", [f"name{number}" for number in range(50)]) == 'unknown method "??"'


def test_a_name_stays_on_one_line_and_is_cut() -> None:
    assert quoted("a\nb") == '"a\\nb"'
    assert len(quoted("x" * 500)) <= NAME_CHARS_MAX + 3
