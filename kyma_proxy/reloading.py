"""Reloading: the new configuration is loaded, checked and started beside the one in use; then one swap, or none.

In two steps, so that several processes can take it over together: `prepare`, and when all have, `commit`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from kyma_proxy.generation import Generation
from kyma_proxy.observe.reloads import ReloadMetrics
from kyma_proxy.settings import ConfigError, Settings
from kyma_proxy.settings.changes import restart_needed
from kyma_proxy.settings.problems import Problem
from kyma_proxy.tasks import Tasks

START_SECONDS_MAX: Final = 60.0
"""How long the plugins of a new configuration may take to start."""

_log = structlog.get_logger("kyma_proxy.reload")


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """How a reload ended. With a problem the configuration before is still in use, unchanged.

    `later` are changes that count after a restart: they are no problem.
    """

    problems: tuple[Problem, ...] = ()
    later: tuple[Problem, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the new configuration is in use."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For the admin listener: positions and messages."""
        return {"reloaded": self.accepted, "problems": _fields(self.problems), "after_restart": _fields(self.later)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> ReloadOutcome:
        """What `as_json` told."""
        problems, later = (tuple(Problem(**each) for each in told[name]) for name in ("problems", "after_restart"))
        return cls(problems, later)


def _fields(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    return [{"file": each.file, "line": each.line, "column": each.column, "message": each.message} for each in problems]


class Reloads:
    """Keeps the generation in use, and takes over others, one at a time.

    `load` reads and checks the configuration and raises ConfigError; `make` brings one to life, not started; `use` has
    requests answered by it from now on.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        make: Callable[[Settings], Generation],
        use: Callable[[Generation], None],
        metrics: ReloadMetrics,
        tasks: Tasks,
    ) -> None:
        self._load = load
        self._make = make
        self._use = use
        self._metrics = metrics
        self._tasks = tasks
        self._one_at_a_time = asyncio.Lock()
        self._current: Generation | None = None
        self._prepared: Generation | None = None
        self._retiring: dict[Generation, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"Reloads({len(self._retiring)} retiring)"

    def take_back(self, key: str) -> int:
        """Another process needs places of this key; how many idle ones any generation here gives up."""
        alive = [*self._retiring, *([self._current] if self._current else [])]
        return sum(each.admission.take_back(key) for each in alive)

    async def begin(self, settings: Settings) -> None:
        """Bring the first configuration to life. Raises ConfigError, and whatever a plugin raises."""
        first = self._make(settings)
        await first.start()
        self._take_over(first)

    async def reload(self) -> ReloadOutcome:
        """Read the configuration again and use it if nothing is wrong with it. Never raises for what is wrong."""
        async with self._one_at_a_time:
            outcome = await self.prepare()
            if outcome.accepted:
                self.commit()
            return outcome

    async def prepare(self) -> ReloadOutcome:
        """Load, check and start the new configuration beside the one in use; `commit` or `abandon` comes next."""
        await self.abandon()
        assert self._current is not None, "nothing is in use yet"
        generation: Generation | None = None
        try:
            settings = await asyncio.to_thread(self._load)
            generation = self._make(settings)
            async with asyncio.timeout(START_SECONDS_MAX):
                await generation.start()
        except ConfigError as error:
            return self._refused(error.problems)
        except Exception as error:
            if generation is None:
                raise
            _log.exception("configuration_not_started")
            return self._refused((generation.failure(error),))
        self._prepared = generation
        return ReloadOutcome(later=restart_needed(self._current.settings, settings))

    def commit(self) -> None:
        """Use what was prepared. What lives on the generation before goes on living there."""
        assert self._prepared is not None, "nothing was prepared"
        assert self._current is not None, "nothing is in use yet"
        for change in restart_needed(self._current.settings, self._prepared.settings):
            _log.warning("restart_needed", position=_position(change), message=change.message)
        replaced, prepared, self._prepared = self._current, self._prepared, None
        self._take_over(prepared)
        self._retiring[replaced] = self._tasks.spawn(self._retire(replaced), name="retire a configuration")
        self._metrics.ended(accepted=True)
        self._metrics.alive(1 + len(self._retiring))
        _log.info("configuration_reloaded", plugins=[entry.use for entry in prepared.settings.plugins])

    async def abandon(self) -> None:
        """Stop what was prepared, if anything was."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            await prepared.stop()

    async def stop(self) -> None:
        """Stop every generation, whatever still uses it."""
        await self.abandon()
        for task in tuple(self._retiring.values()):
            task.cancel()
        for generation in (*self._retiring, *([self._current] if self._current else [])):
            await generation.stop()
        self._current = None

    def _take_over(self, generation: Generation) -> None:
        self._current = generation
        self._use(generation)
        self._metrics.alive(1 + len(self._retiring))

    async def _retire(self, generation: Generation) -> None:
        await generation.retire()
        del self._retiring[generation]
        self._metrics.alive(1 + len(self._retiring))
        _log.info("configuration_retired")

    def _refused(self, problems: tuple[Problem, ...]) -> ReloadOutcome:
        self._metrics.ended(accepted=False)
        for problem in problems:
            _log.error("configuration_refused", position=_position(problem), message=problem.message)
        return ReloadOutcome(problems)


def _position(problem: Problem) -> str:
    return f"{problem.file}:{problem.line}:{problem.column}"
