"""Routes: which upstream a request goes to. They choose an upstream and nothing else; first match wins."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass

from kyma_proxy.settings import RouteSettings

_ANYTHING_BELOW = "/**"


@dataclass(frozen=True, slots=True)
class Route:
    """A compiled route. `path` is exact, or a prefix when it ended in `/**`."""

    pattern: str
    path: str
    is_prefix: bool
    methods: frozenset[str] | None
    models: re.Pattern[str] | None
    upstream: str
    max_body_bytes: int | None = None

    @classmethod
    def compile(cls, settings: RouteSettings) -> Route:
        """Compile one route of the settings."""
        is_prefix = settings.path.endswith(_ANYTHING_BELOW)
        models = None
        if settings.models is not None:
            models = re.compile("|".join(fnmatch.translate(model) for model in settings.models))
        return cls(
            pattern=settings.path,
            path=settings.path.removesuffix("**") if is_prefix else settings.path,
            is_prefix=is_prefix,
            methods=None if settings.methods is None else frozenset(settings.methods),
            models=models,
            upstream=settings.upstream,
            max_body_bytes=settings.max_body_bytes,
        )

    def matches(self, method: str, path: str, model: str | None) -> bool:
        """Whether a request goes this way. A route with models takes only requests whose model is known."""
        if self.methods is not None and method not in self.methods:
            return False
        if not (path.startswith(self.path) if self.is_prefix else path == self.path):
            return False
        return self.models is None or (model is not None and self.models.fullmatch(model) is not None)


class Router:
    """The compiled table of routes, in YAML order."""

    def __init__(self, routes: Iterable[RouteSettings]) -> None:
        self.routes = tuple(Route.compile(each) for each in routes)

    def match(self, method: str, path: str, model: str | None = None) -> Route | None:
        """The first route that matches, by canonical path."""
        for route in self.routes:
            if route.matches(method, path, model):
                return route
        return None
