"""A mail server for crash tests that misbehaves by a seeded plan, and knows what it did to each mail."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict

from tests.integration.smtp_server import DROP, HANG, Command

GONE = "gone.example"
"""Nobody lives there: 550 for each."""


class HostileRelay:
    """The rule of a server; each mail that it has taken is in `taken`, the answer may have been lost.

    Args:
        seed: Of the plan. Which mail meets what also depends on the order in which they come.
    """

    def __init__(self, seed: int) -> None:
        self._luck = random.Random(seed)
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._calm = False
        self.taken: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        self.unanswered: Counter[str] = Counter()
        self.did: Counter[str] = Counter()

    def __call__(self, command: Command) -> str | None:
        """What the server does with a command."""
        with self._lock:
            match command.verb:
                case "CONNECT":
                    return self._one_of(("421 4.3.2 too busy", 0.05), (DROP, 0.02))
                case "MAIL":
                    return self._one_of(("421 4.3.2 going down", 0.02), (DROP, 0.01), ("451 4.3.0 later", 0.02))
                case "RCPT":
                    return self._recipient(command.path)
                case "DATA":
                    return self._one_of((DROP, 0.02), ("451 4.3.1 no room", 0.02))
                case "END":
                    return self._end(command)
        return None

    def settle(self) -> None:
        """From now on take everything: for what isn't about the server's manners."""
        with self._lock:
            self._calm = True

    @property
    def copies(self) -> int:
        """Mails that it has taken."""
        with self._lock:
            return sum(map(len, self.taken.values()))

    def _recipient(self, address: str) -> str | None:
        if address.endswith(f"@{GONE}"):
            self.did["550"] += 1
            return "550 5.1.1 no such person"
        first_time = address not in self._seen
        self._seen.add(address)
        if first_time and self._luck.random() < 0.2:
            self.did["451 greylisted"] += 1
            return "451 4.7.1 greylisted, come back"
        return None

    def _end(self, command: Command) -> str | None:
        refusal = self._one_of(("451 4.7.1 looks odd", 0.03))
        if refusal is not None:
            return refusal
        mail = command.session.pending
        assert mail is not None
        self.taken[mail.message_id].append(mail.recipients)
        lost = self._one_of((DROP, 0.04), (HANG, 0.01))
        if lost is not None:
            self.unanswered[mail.message_id] += 1
        return lost

    def _one_of(self, *choices: tuple[str, float]) -> str | None:
        throw = 1.0 if self._calm else self._luck.random()
        for answer, share in choices:
            if throw < share:
                self.did[answer] += 1
                return answer
            throw -= share
        return None
