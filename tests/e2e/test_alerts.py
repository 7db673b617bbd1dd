"""The alert rules and the dashboard speak of metrics that exist, in expressions that Prometheus can read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry

from kyma_proxy.observe.reloads import ReloadMetrics
from kyma_proxy.supervisor.team import Team
from kyma_proxy.tasks import Tasks

CONFIG = Path(__file__).parents[2] / "config"
ALERTS = yaml.safe_load((CONFIG / "alerts.yaml").read_text())
DASHBOARD = json.loads((CONFIG / "grafana-dashboard.json").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"].replace("$__rate_interval", "5m")


def selectors(parsed: Any) -> Iterator[Any]:
    """Every selector of a series in a parsed expression."""
    if isinstance(parsed, promql_parser.VectorSelector):
        yield parsed
    elif isinstance(parsed, promql_parser.MatrixSelector):
        yield parsed.vector_selector
    for name in ("expr", "lhs", "rhs"):
        inner = getattr(parsed, name, None)
        if inner is not None:
            yield from selectors(inner)
    for argument in getattr(parsed, "args", None) or ():
        yield from selectors(argument)


def groupings(parsed: Any) -> Iterator[tuple[set[str], Any]]:
    """Every aggregation: the labels it keeps, and what it sums up."""
    if isinstance(parsed, promql_parser.AggregateExpr) and parsed.modifier is not None:
        yield set(parsed.modifier.labels), parsed.expr
    for each in (getattr(parsed, name, None) for name in ("expr", "lhs", "rhs")):
        if each is not None:
            yield from groupings(each)
    for argument in getattr(parsed, "args", None) or ():
        yield from groupings(argument)


@pytest.fixture
async def known(make_world: Any) -> dict[str, set[str]]:
    """Every series that a gateway or its supervisor can have, with its labels."""
    world = await make_world(metering="")
    registry = CollectorRegistry()
    team: Any = (None, Path(), Tasks(), registry)
    Team(*team)
    ReloadMetrics(registry, lives=False)
    series: dict[str, set[str]] = {}
    for each in (world.application.metrics.registry, registry):
        for collector in list(each._collector_to_names):
            names = set(getattr(collector, "_labelnames", ()))
            for name in each._collector_to_names[collector]:
                series[name] = names | ({"le"} if name.endswith("_bucket") else set())
    return series


async def test_every_expression_is_well_formed_and_names_what_exists(known: dict[str, set[str]]) -> None:
    wrong = []
    seen = 0
    for where, expression in expressions():
        for selector in selectors(promql_parser.parse(expression)):
            seen += 1
            labels = {matcher.name for matcher in selector.matchers.matchers}
            if selector.name not in known:
                wrong.append(f"{where}: there is no {selector.name}")
            elif not labels <= known[selector.name]:
                wrong.append(f"{where}: {selector.name} has no label {labels - known[selector.name]}")
        for labels, summed in groupings(promql_parser.parse(expression)):
            wrong += [
                f"{where}: {selector.name} cannot be told apart by {labels - known[selector.name]}"
                for selector in selectors(summed)
                if not labels <= known.get(selector.name, set())
            ]
    assert wrong == []
    assert seen > 40


def test_a_grouping_by_what_a_metric_does_not_have_would_be_found() -> None:
    parsed = promql_parser.parse("histogram_quantile(0.9, sum by (le, no_such) (rate(kyma_requests_total[5m]))) > 1")
    assert [labels for labels, _ in groupings(parsed)] == [{"le", "no_such"}]


async def test_a_metric_that_does_not_exist_would_be_found(known: dict[str, set[str]]) -> None:
    (selector,) = selectors(promql_parser.parse("sum(rate(kyma_no_such_total[5m])) > 1"))
    assert selector.name not in known


def test_every_rule_says_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert re.fullmatch(r"(\d+[smh])?", rule.get("for", ""))


def test_the_dashboard_loads_and_its_panels_do_not_overlap() -> None:
    assert DASHBOARD["title"] == "Kyma Proxy"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


async def test_everything_that_is_counted_shows_somewhere(known: dict[str, set[str]]) -> None:
    seen = {s.name for _, expression in expressions() for s in selectors(promql_parser.parse(expression))}
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in known if name.startswith("kyma_")}
    shown = {re.sub(r"_(total|bucket)$", "", name) for name in seen}
    assert families - shown == set()
