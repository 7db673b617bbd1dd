"""What the supervisor starts a worker with, as arguments of its command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Order:
    """What the supervisor starts a worker with.

    `accepted` is the configuration to start with and `candidate` the one to prepare in a reload: copies of the file
    called `named`. `listening` and `channel` are inherited file descriptors.
    """

    named: Path
    accepted: Path
    candidate: Path
    listening: tuple[int, ...]
    channel: int
    migrate: bool = False

    def arguments(self) -> list[str]:
        """As arguments of the worker's command."""
        words = ["--named", str(self.named), "--accepted", str(self.accepted), "--candidate", str(self.candidate)]
        words += ["--channel", str(self.channel), "--listening", ",".join(map(str, self.listening))]
        return [*words, "--migrate"] if self.migrate else words

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> Order:
        """The order in a command's arguments."""
        parser = argparse.ArgumentParser(description="A worker of kyma-proxy; `serve` starts it.")
        for name in ("--named", "--accepted", "--candidate"):
            parser.add_argument(name, type=Path, required=True)
        parser.add_argument("--channel", type=int, required=True)
        parser.add_argument("--listening", type=lambda text: tuple(map(int, text.split(","))), required=True)
        parser.add_argument("--migrate", action="store_true")
        return cls(**vars(parser.parse_args(arguments)))
