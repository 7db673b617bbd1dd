"""What a configuration may say and an operator will not mean: told by `check`, and refused nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kyma_proxy.pipeline.plan import Plan
from kyma_proxy.pipeline.router import Router
from kyma_proxy.plugin import Plugin
from kyma_proxy.settings import Problem, Settings

_SPEECH: Final = "/v1/audio/speech"
_DESIGN: Final = "/v1/audio/voice-design"


def warnings_of(settings: Settings, registry: Mapping[str, type[Plugin[Any]]], laid_out: Plan) -> tuple[Problem, ...]:
    """The warnings, in the order of the file."""
    found = (
        *_models_unread(settings, registry, laid_out),
        *_speech_unmetered(settings, registry, laid_out),
        *_design_unguarded(settings, laid_out),
    )
    return tuple(sorted(found))


def _provided(settings: Settings, registry: Mapping[str, type[Plugin[Any]]], laid_out: Plan, path: str) -> set[str]:
    """What the plugins on an endpoint provide together, whatever the method."""
    endpoint = laid_out.endpoints.get(path)
    positions = {each for members in endpoint.members.values() for each in members} if endpoint else set()
    return {word for each in positions for word in registry[settings.plugins[each].use].provides}


def _models_unread(settings: Settings, registry: Mapping[str, type[Plugin[Any]]], laid_out: Plan) -> Iterator[Problem]:
    for position, route in enumerate(settings.routes):
        if route.models is not None and "model" not in _provided(settings, registry, laid_out, route.path):
            message = f"no plugin reads the model of a request to {route.path}, so this route never matches"
            yield settings.problem(("routes", position, "models"), message)


def _speech_unmetered(
    settings: Settings, registry: Mapping[str, type[Plugin[Any]]], laid_out: Plan
) -> Iterator[Problem]:
    """A provider that is asked in our name is paid by us: a route to it is a gift if nobody charges for it."""
    if "metering" in _provided(settings, registry, laid_out, _SPEECH):
        return
    for position, route in enumerate(settings.routes):
        serves = getattr(settings.upstreams[route.upstream], "models", None)
        if route.path == _SPEECH and serves:
            message = f"{route.upstream} is paid by us for speech, and no plugin charges for it: add speech_metering"
            yield settings.problem(("routes", position), message)


def _design_unguarded(settings: Settings, laid_out: Plan) -> Iterator[Problem]:
    """Voices whose owner nobody writes down are open to everybody."""
    router = Router(settings.routes)
    route = router.match("POST", _DESIGN)
    if _DESIGN in laid_out.endpoints or route is None:
        return
    message = f"{_DESIGN} is forwarded, and no plugin records whose the new voices are: add voice_design"
    yield settings.problem(("routes", router.routes.index(route)), message)
