"""Which base URL a request goes through."""

from __future__ import annotations

from collections import Counter

from multidict import CIMultiDict

from kyma_proxy.settings import BreakerSettings
from kyma_proxy.upstreams.breaker import Breaker
from kyma_proxy.upstreams.doors import Doors
from kyma_proxy.upstreams.exchange import OutgoingRequest

SETTINGS = BreakerSettings(failures=1, open_seconds=5)


def doors(*bases: tuple[str, int]) -> Doors:
    return Doors(bases, lambda door: Breaker(SETTINGS))


def test_each_is_used_as_often_as_its_weight_says_and_never_many_times_in_a_row() -> None:
    made = doors(("http://a.test", 1), ("http://b.test", 3))
    chosen = [door.base.host for _ in range(400) if (door := made.choose()) is not None]
    assert Counter(chosen) == {"a.test": 100, "b.test": 300}
    assert "b.test" * 4 not in "".join(str(each) for each in chosen[:100])


def test_one_that_is_open_or_was_tried_is_left_out() -> None:
    made = doors(("http://a.test", 1), ("http://b.test", 1))
    first, second = made.all
    assert made.choose((first,)) is second
    assert second.breaker is not None
    second.breaker.failed()
    assert {made.choose() for _ in range(5)} == {first}
    assert made.choose((first,)) is None
    assert first.breaker is not None
    first.breaker.failed()
    assert made.choose() is None
    assert 4 < made.wait_seconds() < 6


def test_a_single_one_is_not_tried_twice_by_itself() -> None:
    made = doors(("http://a.test", 1))
    assert made.choose() is made.first
    assert made.choose((made.first,)) is None


def test_a_request_is_changed_for_the_door_it_goes_through() -> None:
    made = doors(("http://a.test:8080/base/", 1), ("https://b.test/other", 1))
    request = OutgoingRequest("GET", "/base/v1/x?y=z", CIMultiDict({"Host": "a.test:8080", "X": "1"}), 1.0)
    assert made.through(made.all[0], request) is request
    changed = made.through(made.all[1], request)
    assert (changed.target, changed.headers["Host"], changed.headers["X"]) == ("/other/v1/x?y=z", "b.test", "1")
    assert request.headers["Host"] == "a.test:8080"
    assert [door.name for door in made.all] == ["a.test:8080", "b.test:443"]
