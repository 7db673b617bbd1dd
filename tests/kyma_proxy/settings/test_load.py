from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.money import UsdPrice
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.plugin import WHEREVER_NEEDED, ConfigProblem, Plugin, PluginConfig, Proceed, VoiceProviderName
from kyma_proxy.settings.load import load_database_settings, load_plugin_entries, load_settings
from kyma_proxy.settings.models import ForwardUpstreamSettings, HostPort, MiniMaxUpstreamSettings, Settings
from kyma_proxy.settings.problems import ConfigError

SHIPPED = Path(__file__).parents[3] / "config" / "gateway.yaml"
SHIPPED_TEXT = SHIPPED.read_text("utf-8")
CONTRACT = """\
version: 1
server:
  listen: 127.0.0.1:8080            # data plane
  admin_listen: 127.0.0.1:9090      # /healthz /readyz /metrics; never on the data plane
  workers: 1                        # processes sharing the port
  drain_seconds: 30
database:
  url: ${KYMA_DATABASE_URL:-embedded}   # or postgresql://user:pass@host/db
  data_dir: ${KYMA_DATA_DIR:-.kyma}     # embedded only
upstreams:
  minimax:
    adapter: minimax
    base_url: ${MINIMAX_BASE_URL:-https://api.minimax.io}
    api_key: ${MINIMAX_API_KEY}
    models: {minimax-speech-hd: speech-02-hd, minimax-speech-turbo: speech-02-turbo}
  origin:
    adapter: forward
    base_url: ${KYMA_ORIGIN_URL:-https://kymaapi.com}
plugins:                            # first = outermost; a plugin names the endpoints it guards itself
  - use: api_key_auth
  - use: voice_clone
    config: {upstream: minimax, price_usd: "2.10"}
  - use: voice_ownership
routes:                             # choose an upstream only; first match wins
  - {path: /v1/audio/speech, methods: [POST], models: ["minimax-*"], upstream: minimax}
  - {path: "/v1/audio/**", upstream: origin}
"""


class KeyConfig(PluginConfig):
    pass


class CloneConfig(PluginConfig):
    upstream: VoiceProviderName
    price_usd: UsdPrice
    max_file_bytes: int = Field(default=10, ge=1)
    token: SecretStr = SecretStr("t")


class KeyPlugin(Plugin[KeyConfig]):
    name = "api_key_auth"
    config_model = KeyConfig
    endpoints = WHEREVER_NEEDED

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        return await proceed(flow)


class ClonePlugin(Plugin[CloneConfig]):
    name = "voice_clone"
    config_model = CloneConfig
    endpoints = WHEREVER_NEEDED

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        return await proceed(flow)


class OwnershipPlugin(KeyPlugin):
    name = "voice_ownership"


class PricedConfig(PluginConfig):
    prices_usd_per_1k_chars: dict[str, UsdPrice] = Field(default_factory=dict)

    def problems(self, skus: frozenset[str]) -> Iterable[ConfigProblem]:
        for sku in sorted(skus - self.prices_usd_per_1k_chars.keys()):
            yield ConfigProblem(("prices_usd_per_1k_chars",), f"{sku} has no price")


class MeteringPlugin(Plugin[PricedConfig]):
    name = "speech_metering"
    config_model = PricedConfig
    endpoints = WHEREVER_NEEDED

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        return await proceed(flow)


class DesignPlugin(ClonePlugin):
    name = "voice_design"


class LibraryConfig(PluginConfig):
    upstream: VoiceProviderName


class LibraryPlugin(Plugin[LibraryConfig]):
    config_model = LibraryConfig
    endpoints = WHEREVER_NEEDED
    name = "voice_library"

    async def handle(self, flow: Flow, proceed: Proceed) -> Reply:
        return await proceed(flow)


PLUGINS: dict[str, type[Plugin]] = {  # type: ignore[type-arg]
    plugin.name: plugin
    for plugin in (KeyPlugin, ClonePlugin, DesignPlugin, LibraryPlugin, OwnershipPlugin, MeteringPlugin)
}
ENVIRON = {"MINIMAX_API_KEY": "sk-api-secret"}


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "g.yaml"
    file.write_text(text, "utf-8")
    return load_settings(file, plugins=PLUGINS, environ=ENVIRON if environ is None else environ)


def problems(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, environ)
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems]


def outcome(tmp_path: Path, text: str, environ: dict[str, str]) -> Settings | ConfigError:
    try:
        return load(tmp_path, text, environ)
    except ConfigError as error:
        return error


@pytest.mark.parametrize("text", [CONTRACT, SHIPPED_TEXT], ids=["contract", "shipped"])
def test_the_contracts_file_loads_unchanged_once_its_variable_is_set(tmp_path: Path, text: str) -> None:
    settings = load(tmp_path, text)
    assert settings.server.listen == HostPort("127.0.0.1", 8080)
    assert settings.database.url.get_secret_value() == "embedded"
    minimax, origin = settings.upstreams["minimax"], settings.upstreams["origin"]
    assert isinstance(minimax, MiniMaxUpstreamSettings)
    assert isinstance(origin, ForwardUpstreamSettings)
    assert minimax.api_key.get_secret_value() == "sk-api-secret"
    assert minimax.models == {"minimax-speech-hd": "speech-02-hd", "minimax-speech-turbo": "speech-02-turbo"}
    assert origin.authorization == "pass"
    uses = [entry.use for entry in settings.plugins]
    assert [use for use in uses if use in CONTRACT] == ["api_key_auth", "voice_clone", "voice_ownership"]
    clone = settings.plugins[1].config
    assert isinstance(clone, CloneConfig)
    assert clone.price_usd == 2_100_000
    assert [route.upstream for route in settings.routes] == ["minimax", "origin"]
    assert settings.routes[0].models == ("minimax-*",)


def test_the_shipped_file_says_the_same_as_the_contract(tmp_path: Path) -> None:
    """Beside the plugins that came to exist."""
    shipped, contract = load(tmp_path, SHIPPED_TEXT).model_dump(), load(tmp_path, CONTRACT).model_dump()
    shipped["plugins"] = tuple(entry for entry in shipped["plugins"] if entry["use"] in CONTRACT)
    contract["plugins"] = tuple(contract["plugins"])
    assert shipped == contract


PRICED = """\
version: 1
upstreams:
  m: {adapter: minimax, base_url: "http://h", api_key: k, models: {hd: a, turbo: b}}
plugins:
  - use: speech_metering
    config: {prices_usd_per_1k_chars: {hd: "1", tubro: "1"}}
routes: []
"""


def test_a_plugin_is_asked_whether_it_fits_the_models_that_are_served(tmp_path: Path) -> None:
    assert problems(tmp_path, PRICED) == ["6:39: turbo has no price"]
    load(tmp_path, PRICED.replace("tubro", "turbo"))


def test_a_plugin_is_not_asked_about_a_file_that_is_wrong_anyway(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, PRICED.replace("adapter: minimax", "adapter: maximin"))
    assert "unknown adapter" in problem


def test_without_its_variable_the_one_problem_names_it(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, CONTRACT, {})
    assert problem.startswith("14:14: the environment variable MINIMAX_API_KEY is not set")


def test_the_environment_of_the_process_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "g.yaml"
    file.write_text("version: 1\nserver: {drain_seconds: '${X}'}\n")
    monkeypatch.delenv("X", raising=False)
    with pytest.raises(ConfigError, match="X is not set"):
        load_settings(file, plugins={})
    file.write_text("version: 1\nserver:\n  drain_seconds: ${X}\n")
    monkeypatch.setenv("X", "7")
    assert load_settings(file, plugins={}).server.drain_seconds == 7


def test_problems_of_all_sections_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
version: 2
servr: {}
server: {drain_secondss: 30, workers: two}
database: {pool_size: 0}
upstreams:
  minimax: {adapter: minimx}
  a b: {adapter: forward}
  origin: {adapter: forward, base_url: "ftp://x", base_url: "http://x"}
  bare: 5
plugins:
  - use: voice_clon
  - use: voice_clone
    config: {upstream: origin, price_usd: 2.10}
    conf: 1
  - use: api_key_auth
  - use: api_key_auth
  - 5
routes:
  - {path: /v1/audio/**, upstream: orign}
  - {path: /v1/audio/x}
"""
    assert problems(tmp_path, text) == [
        "1:10: must be 1: this gateway reads no other version of the format",
        '2:1: unknown key "servr"; did you mean "server"?',
        '3:10: unknown key "drain_secondss"; did you mean "drain_seconds"?',
        "3:39: must be a whole number, not text",
        "4:23: must be at least 1",
        '6:22: unknown adapter "minimx"; did you mean "minimax"?',
        "7:3: a name is 1 to 64 letters, digits, and _ . - after the first",
        '7:8: missing key "base_url"',
        "8:40: must be an http:// or https:// URL with a host",
        '8:51: duplicate key "base_url": it stands in line 8 already',
        "9:9: must be a mapping",
        '11:10: unknown plugin "voice_clon"; did you mean "voice_clone"?',
        '13:43: a price is a decimal string: write it in quotes, such as "2.10"',
        '14:5: unknown key "conf"; did you mean "config"?',
        "16:10: used twice: it stands in line 15 already, and a request meets a plugin once",
        "17:5: must be a mapping with the key use",
        '19:36: unknown upstream "orign"; did you mean "origin"?',
        '20:5: missing key "upstream"',
    ]


def test_a_plugin_asks_for_an_upstream_that_can_do_it(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, CONTRACT.replace("upstream: minimax, price", "upstream: origin, price"))
    assert problem.startswith('22:24: needs an upstream that offers "voices"')
    (problem,) = problems(tmp_path, CONTRACT.replace("upstream: minimax, price", "upstream: minimx, price"))
    assert problem == '22:24: unknown upstream "minimx"; did you mean "minimax"?'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: must be a mapping that starts with version: 1"),
        ("- a\n", "1:1: must be a mapping that starts with version: 1"),
        ("server: {}\n", '1:1: missing key "version": write version: 1'),
        ("version: true\n", "1:10: must be 1"),
        ("version: '1'\n", "1:10: must be 1"),
        ("version: 1\nserver: []\n", "2:9: must be a mapping, not a list"),
        ("version: 1\nupstreams: []\n", "2:12: must be a mapping"),
        ("version: 1\nplugins: {}\n", "2:10: must be a list"),
        ("version: 1\nplugins: [{}]\n", '2:11: missing key "use"'),
        ("version: 1\nplugins: [{use: 5}]\n", "2:17: must be text"),
        ("version: 1\nplugins: [{use: voice_clone}]\n", '2:11: missing key "price_usd"'),
        ("version: 1\nplugins: [{use: api_key_auth, config: 5}]\n", "2:39: must be a mapping, not a number"),
        ("version: 1\nroutes: 5\n", "2:9: must be a list"),
        ("version: 1\nupstreams: {o: {base_url: http://h}}\n", '2:13: missing key "adapter"'),
        ("version: 1\nupstreams: {o: {adapter: 5}}\n", "2:26: must be text"),
        (
            "version: 1\nupstreams: {o: {adapter: forward, base_url: http://h, authorization: replace}}\n",
            "2:16: authorization: replace needs an api_key",
        ),
        (
            "version: 1\nserver:\n  workers: ${N:-0}\n",
            "3:12: must be at least 1",
        ),
    ],
)
def test_wrong_shapes(tmp_path: Path, text: str, expected: str) -> None:
    assert any(problem.startswith(expected) for problem in problems(tmp_path, text)), problems(tmp_path, text)


def test_sections_left_out_or_left_empty_have_defaults(tmp_path: Path) -> None:
    least = load(tmp_path, "version: 1\n")
    empty = load(tmp_path, "version: 1\nserver:\ndatabase:\nupstreams:\nplugins:\nroutes:\n")
    assert least.model_dump() == empty.model_dump()
    assert least.routes == ()


def test_a_missing_file_is_a_problem_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml:1:1: cannot be read"):
        load_settings(tmp_path / "none.yaml", plugins={}, environ={})


def test_a_digits_only_key_is_a_key(tmp_path: Path) -> None:
    minimax = load(tmp_path, CONTRACT, {"MINIMAX_API_KEY": "0123456789"}).upstreams["minimax"]
    assert minimax.api_key is not None
    assert minimax.api_key.get_secret_value() == "0123456789"


@pytest.mark.parametrize(
    "name", ["KYMA_DATABASE_URL", "KYMA_DATA_DIR", "MINIMAX_BASE_URL", "MINIMAX_API_KEY", "KYMA_ORIGIN_URL"]
)
def test_no_problem_shows_what_came_from_the_environment(tmp_path: Path, name: str) -> None:
    found = outcome(tmp_path, CONTRACT, ENVIRON | {name: "hush hush\n"})
    assert isinstance(found, Settings) is (name == "KYMA_DATA_DIR")
    assert isinstance(found, Settings) or "hush" not in str(found)


def test_settings_make_problems_with_positions(tmp_path: Path) -> None:
    settings = load(tmp_path, CONTRACT)
    assert str(settings.problem(("plugins", 1, "use"), "needs identity")).endswith("g.yaml:21:10: needs identity")


def test_the_database_section_alone_needs_nothing_of_the_others(tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_text(CONTRACT + "extra: ${ALSO_UNSET}\n")
    database = load_database_settings(file, environ={"KYMA_DATABASE_URL": "postgresql://u:p@h/db"})
    assert database.url.get_secret_value() == "postgresql://u:p@h/db"
    file.write_text("version: 1\ndatabase: {url: '${A}', pool: 5}\nserver: {drain_seconds: x, a: 1, a: 2}\n")
    with pytest.raises(ConfigError) as caught:
        load_database_settings(file, environ={})
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(2, 17), (2, 25)]
    file.write_text("- 1\n")
    with pytest.raises(ConfigError, match="must be a mapping"):
        load_database_settings(file, environ={})


FRAGMENTS = [
    "",
    "null",
    "[]",
    "{}",
    "5",
    "${X}",
    "!!set",
    "*a",
    "&a",
    "\n",
    "  ",
    "- ",
    ": ",
    '"',
    "'",
    "x",
    "1e999",
    "${",
    "<<",
]


def test_the_plugins_alone_need_no_variable_of_other_sections(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(SHIPPED_TEXT)
    entries = load_plugin_entries(file, plugins=InstalledPlugins(), environ={})
    assert [entry.use for entry in entries][:2] == ["api_key_auth", "voice_clone"]
    file.write_text('plugins: [{use: voice_clone, config: {upstream: u, max_secnds: 3}}]\nupstreams: {u: "${UNSET}"}')
    with pytest.raises(ConfigError) as caught:
        load_plugin_entries(file, plugins=InstalledPlugins(), environ={})
    assert "max_secnds" in str(caught.value)
    assert "UNSET" not in str(caught.value)
    file.write_text("- a list\n")
    with pytest.raises(ConfigError):
        load_plugin_entries(file, plugins=InstalledPlugins(), environ={})


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(CONTRACT)), st.integers(0, 12), st.sampled_from(FRAGMENTS)), max_size=3))
def test_a_mutilated_file_gives_settings_or_config_error(tmp_path: Path, cuts: list[tuple[int, int, str]]) -> None:
    text = CONTRACT
    for start, length, fragment in cuts:
        text = text[:start] + fragment + text[start + length :]
    found = outcome(tmp_path, text, ENVIRON)
    assert "sk-api-secret" not in str(found)
    assert isinstance(found, Settings) or found.problems


@given(st.text(st.characters(exclude_categories=[]), max_size=20))
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_environment_gives_settings_or_config_error(tmp_path: Path, value: str) -> None:
    names = ("KYMA_DATABASE_URL", "KYMA_DATA_DIR", "MINIMAX_BASE_URL", "MINIMAX_API_KEY", "KYMA_ORIGIN_URL")
    found = outcome(tmp_path, CONTRACT, dict.fromkeys(names, value))
    if isinstance(found, Settings):
        assert list(found.upstreams) == ["minimax", "origin"]
        assert found.server == load(tmp_path, CONTRACT).server
    else:
        assert found.problems
