"""An honest STOW-RS client in a thread, beside those that are not."""

import http.client
import itertools

from tests.peers.ports import LOOPBACK
from tests.survival import http_wire, wire
from tests.survival.peer import HonestSender


class HonestPusher(HonestSender):
    """Pushes whole instances without end, two in a request; each must be stored."""

    def _run(self) -> None:
        numbers = itertools.count(1)
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
            try:
                for number in itertools.islice(numbers, self.per_association):
                    self._push(connection, {uid: _honest_data_set(uid) for uid in _uids(number)})
                    if self._stop.wait(self.pause):
                        break
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                self._stop.wait(0.5)
            finally:
                connection.close()

    def _push(self, connection: http.client.HTTPConnection, data_sets: dict[str, bytes]) -> None:
        parts = (http_wire.part(http_wire.part10(uid, one)) for uid, one in data_sets.items())
        headers = {"Content-Type": http_wire.content_type().decode()}
        connection.request("POST", "/studies/1.2.826.78", http_wire.multipart(parts), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            self.failures.append(f"status {answer.status}: {body[:200]!r}")
        else:
            self.acknowledged.update(data_sets)


def _uids(number: int) -> tuple[str, str]:
    return f"1.2.826.78.{number}.1", f"1.2.826.78.{number}.2"


def _honest_data_set(uid: str) -> bytes:
    return wire.ct_data_set(uid, study="1.2.826.78", series="1.2.826.78.1")
