"""The rules of the single places can fail."""

from __future__ import annotations

import ast

import pytest

from tidy.single_places import misplaced

_HOMES = {
    "kyma_proxy/tasks.py": [
        "import asyncio\nasyncio.create_task(work())",
        "from asyncio import ensure_future",
        "import asyncio\nasync def f():\n    async with asyncio.TaskGroup() as group: pass",
        "asyncio.get_running_loop().create_task(work())",
        "self._loop.create_task(work())",
    ],
    "kyma_proxy/clock.py": [
        "import time\ntime.monotonic()",
        "import time as t\nt.time_ns()",
        "from time import perf_counter",
        "from datetime import UTC, datetime\ndatetime.now(UTC)",
        "import datetime as d\nd.datetime.utcnow()",
        "from datetime import datetime as when\nwhen.now()",
        "from datetime import date\nToday = date.today",
    ],
    "kyma_proxy/settings/environment.py": [
        "import os\nos.environ['HOME']",
        "import os as o\no.getenv('HOME')",
        "from os import environ",
        "import click\nclick.option('--config', envvar='KYMA_CONFIG')",
    ],
    "kyma_proxy/upstreams/transport.py": [
        "import aiohttp\naiohttp.ClientSession()",
        "from aiohttp import ClientSession\nsession = ClientSession()",
        "from aiohttp import ClientSession as S\nS()",
        "import aiohttp\nclass Mine(aiohttp.ClientSession): pass",
        "import urllib.request",
        "from http.client import HTTPConnection",
    ],
}
_CASES = [(home, text) for home, texts in _HOMES.items() for text in texts]


@pytest.mark.parametrize(("home", "text"), _CASES)
def test_elsewhere_it_is_found_and_at_home_it_is_not(home: str, text: str) -> None:
    module = ast.parse(text)
    assert misplaced({home: module}) == []
    for path in ("kyma_proxy/simulators/a.py", "plugins/kyma_x/plugin.py"):
        assert misplaced({path: module})


def test_the_finding_says_where_and_what_instead() -> None:
    found = misplaced({"kyma_proxy/a.py": ast.parse("import time\n\nstarted = time.monotonic()")})
    assert found == ["kyma_proxy/a.py:3: time.monotonic: use kyma_proxy.clock: monotonic_seconds or utc_now"]


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "loop.time()",
        "from aiohttp import ClientSession\ndef f(session: ClientSession) -> None: pass",
        "import aiohttp\ndef f(session: aiohttp.ClientSession) -> None: pass",
        "import os\nos.getpid()",
        "from datetime import datetime\nwhen: datetime",
        "self.clock.now()",
    ],
)
def test_what_only_looks_alike_passes(text: str) -> None:
    assert misplaced({"kyma_proxy/a.py": ast.parse(text)}) == []
