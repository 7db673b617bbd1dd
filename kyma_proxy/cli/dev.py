"""`kyma-proxy dev`: everything on this machine, a demo account, and lines to paste."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shlex
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from kyma_proxy.accounts.accounts import OpenedAccount, open_account
from kyma_proxy.app import Application
from kyma_proxy.cli.common import Failure, config_option, runs_async
from kyma_proxy.cli.serve import stop_on_signals
from kyma_proxy.money import parse_usd
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.pipeline.loader import InstalledPlugins
from kyma_proxy.settings import HostPort, Settings, environment, load_settings
from kyma_proxy.simulators.minimax import Behaviour, MiniMaxSimulator
from kyma_proxy.simulators.origin import OriginSimulator
from kyma_proxy.simulators.sample import SAMPLE_FILENAME, sample_recording
from kyma_proxy.voices.provider import Recording
from kyma_proxy.voices.registry import VoiceHome, adopt

DEMO_CREDIT_USD = "25.00"
STREAM_CHUNK_SECONDS = 0.1
"""How long the simulated provider takes over each piece of a stream, so that one sees it stream."""


@dataclass(frozen=True, slots=True)
class DevOptions:
    """Where `dev` listens and keeps its data."""

    config_path: Path
    port: int
    admin_port: int
    data_dir: Path


@dataclass(frozen=True, slots=True)
class Demo:
    """The accounts to play with, two voices of the first one, and the simulated provider behind them."""

    account: OpenedAccount
    other: OpenedAccount
    voice_id: str
    spare_id: str
    minimax_url: str
    minimax_key: str


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--admin-port", type=click.IntRange(0, 65535), default=9090, show_default=True)
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), default=Path(".kyma"), show_default=True)
@config_option
@runs_async
async def dev(port: int, admin_port: int, data_dir: Path, config_path: Path) -> None:
    """Start everything embedded: PostgreSQL, a simulated MiniMax and origin, the gateway. Ctrl-C ends it all."""
    stopped = stop_on_signals(signal.SIGHUP)
    configure_logging()
    minimax = MiniMaxSimulator(behaviour=Behaviour(stream_chunk_seconds=STREAM_CHUNK_SECONDS))
    origin = OriginSimulator()
    await minimax.start()
    await origin.start()
    try:
        options = DevOptions(config_path, port, admin_port, data_dir)
        load = partial(_settings, options, minimax, origin)
        application = Application(load(), InstalledPlugins(), load=load)
        await application.start()
        try:
            (data_dir / SAMPLE_FILENAME).write_bytes(sample_recording())
            opened = await application.database.transact(
                lambda connection: open_account(connection, "demo", parse_usd(DEMO_CREDIT_USD), "dev")
            )
            other = await application.database.transact(lambda connection: open_account(connection, "other", 0, "dev"))
            voice_id = await _ready_made_voice(application, opened, "ready-made")
            spare_id = await _ready_made_voice(application, opened, "spare")
            demo = Demo(opened, other, voice_id, spare_id, minimax.base_url, minimax.api_key)
            click.echo(_welcome(application, options, demo))
            await stopped.wait()
        finally:
            await application.stop()
    finally:
        await asyncio.gather(minimax.stop(), origin.stop())
    click.echo("Stopped; nothing is left running. Accounts and voices are kept in " + str(data_dir))


async def _ready_made_voice(application: Application, owner: OpenedAccount, name: str) -> str:
    """Make a voice at the provider and adopt it for the demo account, so that speaking costs no clone."""
    voice_id = f"kyma_{secrets.token_hex(8)}"
    if not application.voice_providers:
        raise Failure("dev shows voices: the configuration needs an upstream that makes them (adapter: minimax)")
    upstream, accounts = next(iter(application.voice_providers.items()))
    provider = accounts.choose_for("clone")
    await provider.clone_voice(voice_id, Recording(sample_recording(), Path(SAMPLE_FILENAME).suffix.removeprefix(".")))
    home, unused = VoiceHome(upstream, provider.provider_account), provider.unused_seconds
    await application.database.transact(
        lambda connection: adopt(connection, voice_id, owner.account_id, name, home, unused_seconds=unused)
    )
    return voice_id


def _settings(options: DevOptions, minimax: MiniMaxSimulator, origin: OriginSimulator) -> Settings:
    environ = {
        **environment(),
        "KYMA_DATABASE_URL": "embedded",
        "KYMA_DATA_DIR": str(options.data_dir),
        "MINIMAX_BASE_URL": minimax.base_url,
        "MINIMAX_API_KEY": minimax.api_key,
        "KYMA_ORIGIN_URL": origin.base_url,
    }
    settings = load_settings(options.config_path, plugins=InstalledPlugins(), environ=environ)
    listen = HostPort("127.0.0.1", options.port)
    admin_listen = HostPort("127.0.0.1", options.admin_port)
    server = settings.server.model_copy(update={"listen": listen, "admin_listen": admin_listen})
    return settings.model_copy(update={"server": server})


def _welcome(application: Application, options: DevOptions, demo: Demo) -> str:
    base = f"http://127.0.0.1:{application.data.port}"
    admin = f"http://127.0.0.1:{application.admin.port}"
    sample = options.data_dir / SAMPLE_FILENAME
    command, account = _command(options), demo.account
    return f"""
Kyma Proxy is running: {base}   (admin: {admin})

  API key     {account.api_key}
  account     {account.account_id}, ${DEMO_CREDIT_USD}
  recording   {sample}

Clone a voice from the recording ($2.10):

  curl -sS {base}/v1/audio/voice-clone -H "Authorization: Bearer {account.api_key}" \\
    -F file=@{shlex.quote(str(sample))} -F name=demo

Clone once however often it is asked for. Paste this twice: the same voice, charged once ($2.10):

  curl -sS {base}/v1/audio/voice-clone -H "Authorization: Bearer {account.api_key}" \\
    -H "Idempotency-Key: demo-1" -F file=@{shlex.quote(str(sample))} -F name=once

Design a voice from a description ($4.20):

  curl -sS {base}/v1/audio/voice-design -H "Authorization: Bearer {account.api_key}" \\
    -H "Content-Type: application/json" \\
    -d '{{"description": "A calm lighthouse keeper, slow and gravelly.", "age_group": "elderly", "name": "keeper"}}'

{_speech_lines(base, options, demo)}

{_library_lines(base, options, demo)}

List the voices of the origin, where everything else is forwarded to:

  curl -sS {base}/v1/audio/voices -H "Authorization: Bearer {account.api_key}"

See the balance, the owner on file, and whether the books are right:

  {command} accounts show {account.account_id}
  {command} voices list --account {account.account_id}
  {command} ledger audit

What does the judge say of a recording?

  {command} inspect {shlex.quote(str(sample))}

Is it ready? What does it measure?

  curl -sS {admin}/readyz
  curl -sS {admin}/metrics

Ctrl-C stops everything.
"""


def _speech_lines(base: str, options: DevOptions, demo: Demo) -> str:
    names = ("speech.mp3", "streamed.mp3", "priced.mp3")
    whole, streamed, priced = (shlex.quote(str(options.data_dir / name)) for name in names)
    return f"""Speak with a ready-made voice of this account, or with one made just now: put its id in the place of
{demo.voice_id}. The simulated provider speaks a tone as long as the text, in a file that plays:

  {_speak(base, demo.account, demo.voice_id, "Hello from Kyma.")} \\
    -o {whole}

Speak streaming, and see when the first byte came and when the last:

  {_speak(base, demo.account, demo.voice_id, "Every word leaves as soon as it is spoken. " * 2, stream=True)} \\
    -N -o {streamed} -w 'first byte after %{{time_starttransfer}} s, last after %{{time_total}} s\\n'

Speech is paid for by its characters. See what this one cost and what is left, in the headers of a stream:

  {_speak(base, demo.account, demo.voice_id, "What does this cost?", stream=True)} \\
    -o {priced} -D - | grep -i x-kyma

Speak with it as somebody else, who is refused (403):

  {_speak(base, demo.other, demo.voice_id, "This is not my voice.")} \\
    -w ' %{{http_code}}\\n'"""


def _library_lines(base: str, options: DevOptions, demo: Demo) -> str:
    key = f'-H "Authorization: Bearer {demo.account.api_key}"'
    simulator = f"MINIMAX_BASE_URL={demo.minimax_url} MINIMAX_API_KEY={demo.minimax_key}"
    return f"""List the voices of this account, the newest first; those that have not spoken yet say when they expire:

  curl -sS '{base}/v1/audio/voices?scope=mine&limit=5' {key}

Rename the ready-made voice, and read it:

  curl -sS -X PATCH {base}/v1/audio/voices/{demo.voice_id} {key} \\
    -d '{{"name": "Narrator"}}'
  curl -sS {base}/v1/audio/voices/{demo.voice_id} {key}

Keep every voice alive that would expire within a week: each says one line, at the cost of the house. Then let eight
days pass at the simulated provider. The voices are still there, and expire no more:

  {simulator} {_command(options)} voices keep-alive --within-hours 169
  curl -sS {demo.minimax_url}/_simulator/clock -d '{{"advance_seconds": 691200}}' -o {os.devnull}
  curl -sS '{base}/v1/audio/voices?scope=mine&limit=5' {key}
  {_command(options)} voices costs

Delete a voice, here and at the provider. It is gone at once, for everybody:

  curl -sS -X DELETE {base}/v1/audio/voices/{demo.spare_id} {key}
  curl -sS {base}/v1/audio/voices/{demo.spare_id} {key}"""


def _speak(base: str, speaker: OpenedAccount, voice_id: str, text: str, *, stream: bool = False) -> str:
    fields = {"model": "minimax-speech-turbo", "input": text.strip(), "voice": voice_id}
    body = json.dumps({**fields, "stream": True} if stream else fields)
    return f"""curl -sS {base}/v1/audio/speech -H "Authorization: Bearer {speaker.api_key}" \\
    -H "Content-Type: application/json" -d '{body}'"""


def _command(options: DevOptions) -> str:
    """How to run this same command from the folder we are in, on the same data and configuration."""
    program = Path(sys.executable).parent / "kyma-proxy"
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    variables = "" if str(options.data_dir) == ".kyma" else f"KYMA_DATA_DIR={shlex.quote(str(options.data_dir))} "
    config = os.fspath(options.config_path)
    suffix = "" if config == "config/gateway.yaml" else f"KYMA_CONFIG={shlex.quote(config)} "
    return f"{variables}{suffix}{shlex.quote(str(program))}"
