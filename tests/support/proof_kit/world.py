"""A provider, a database, a gateway that something goes wrong in, and another one that lives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from e2e_kit.world import CONFIG, metering_plugin
from kyma_proxy.app import Rehearsal
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoints
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import Settings, load_settings
from kyma_proxy.voices.minting import MintPatience

LEASE_SECONDS = 0.8
_PATIENCE = MintPatience(complete_seconds=2.5, unknown_seconds=4.0, void_seconds=1.0, retry_seconds=0.05)
_IN_PROOF = Rehearsal(lease_seconds=LEASE_SECONDS, reconcile_seconds=0.1, patience=_PATIENCE)


def rehearsal(failpoints: Failpoints = NO_FAILPOINTS) -> Rehearsal:
    """Production with short waits, and with these failpoints."""
    return replace(_IN_PROOF, failpoints=failpoints)


def write_config(path: Path, *, minimax_url: str, api_key: str, database_url: str, metered: bool = False) -> None:
    """A whole configuration that needs nothing of the environment; with `metered` speech costs money."""
    text = CONFIG.format(
        server="settle_seconds: 10",
        clone="min_seconds: 1",
        ownership="",
        plugins=metering_plugin("") if metered else "",
        minimax=minimax_url,
        key=api_key,
        # One fault after the other strikes here: a breaker would keep the next from its place.
        minimax_extra="clone_timeout_seconds: 3, longest_clone_seconds: 3, breaker: null".replace(", ", "\n    "),
        origin="http://127.0.0.1:9",
    )
    # Many gateways share one server's connections.
    text = text.replace("${TEST_DATABASE_URL}", database_url).replace("pool_size: 8", "pool_size: 4")
    # Whichever way a voice is made, it costs the same here.
    path.write_text(text.replace('price_usd: "4.20"', 'price_usd: "2.10"'))


def load(path: Path) -> Settings:
    """The settings in a file that `write_config` wrote."""
    return load_settings(path, plugins=InstalledPlugins(), environ={})
