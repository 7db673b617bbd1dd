"""Running the command as a user would: in its own process, ended by whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "kyma_proxy")
Environ = Mapping[str, str | None]
"""Variables to add to the environment; None takes one out of it."""


def _environment(changes: Environ | None) -> dict[str, str]:
    merged: dict[str, str | None] = {**os.environ, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


@dataclass
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def fields(self) -> Any:
        """What `--json` printed."""
        return json.loads(self.out)


async def run(*arguments: str, environ: Environ | None = None, cwd: Path | None = None, stdin: str = "") -> Ran:
    """Run `kyma-proxy ARGUMENTS` to its end, at most a minute."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(environ),
        cwd=cwd,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())


@dataclass
class Running:
    """A command that runs; `lines` grows as it prints."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def wait_for(self, text: str, seconds: float = 60) -> str:
        """The first printed line that contains `text`; fails if the command ends before."""
        seen = 0
        async with asyncio.timeout(seconds):
            while True:
                for line in self.lines[seen:]:
                    if text in line:
                        return line
                seen = len(self.lines)
                assert self.process.returncode is None, "".join(self.lines)
                await asyncio.sleep(0.02)

    async def event(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """The fields of the first log line of this event."""
        fields: dict[str, Any] = json.loads(await self.wait_for(f'"event": "{name}"', seconds))
        return fields

    async def end(self, signal_number: int, seconds: float = 30) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(signal_number)
        async with asyncio.timeout(seconds):
            return await self.process.wait()


@asynccontextmanager
async def running(*arguments: str, environ: Environ | None = None, cwd: Path | None = None) -> AsyncIterator[Running]:
    """Run `kyma-proxy ARGUMENTS` in the background; it is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_environment({"PYTHONUNBUFFERED": "1", **(environ or {})}),
        cwd=cwd,
    )
    it = Running(process)

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            it.lines.append(line.decode())

    reading = asyncio.get_running_loop().create_task(read())
    try:
        yield it
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            process.kill()
        await process.wait()
        await reading
