"""One thing that a hostile or broken peer sends; as JSON it is kept and sent again."""

import base64
import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Ending(StrEnum):
    """What the peer does after its bytes, and so what it is to see within the listener's timers."""

    ANSWER = "answer"
    """Waits for the response to its last message: the listener answers that, or ends the association."""
    ECHO = "echo"
    """Sends a C-ECHO request: the listener answers that, or ends the association."""
    CLOSE = "close"
    """Closes its side: the listener closes the connection."""
    WAIT = "wait"
    """Says nothing more: the listener's idle timer ends the association."""


@dataclass(frozen=True, slots=True)
class Store:
    """An instance that a case sends whole; when it is acknowledged it must be found, bit by bit."""

    uid: str
    data_set: bytes
    message: int


@dataclass(frozen=True, slots=True)
class Case:
    """A mutation, ready to be sent."""

    name: str
    """`family/mutation`."""
    associated: bool
    """Whether it is sent on an open association, or is all that the connection sees."""
    pieces: tuple[bytes, ...]
    """Each goes out by a call of its own."""
    ending: Ending
    store: Store | None = None

    def write(self, path: Path, why: str) -> None:
        """Keep it."""
        pieces = [base64.b64encode(piece).decode() for piece in self.pieces]
        content = {"name": self.name, "why": why, "associated": self.associated, "ending": self.ending}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**content, "pieces": pieces}, indent=1) + "\n")


def read_case(path: Path) -> Case:
    """Read what `Case.write` kept; what it stored is not followed again."""
    content = json.loads(path.read_text())
    pieces = tuple(base64.b64decode(piece) for piece in content["pieces"])
    return Case(content["name"], content["associated"], pieces, Ending(content["ending"]))
