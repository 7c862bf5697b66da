"""Applies the rules of `admission` to associations as they come, and counts those that are open.

pynetdicom counts by looking through every thread of the process at each request, and counts those that it is about to
reject.
"""

import threading
from collections import Counter

from dicom_listener.network.admission import AdmissionRules, AssociationRequest, Load, Refused, refusal

_PeerKey = tuple[str, str]
"""Calling AE title and address."""


class Doorkeeper:
    """Lets associations in; for any number of threads and ports."""

    def __init__(self, rules: AdmissionRules) -> None:
        self._rules = rules
        self._inside: dict[object, _PeerKey] = {}
        self._of_peer: Counter[_PeerKey] = Counter()
        self._lock = threading.Lock()

    def admit(self, association: object, request: AssociationRequest) -> Refused | None:
        """Let the association in and count it, until `leave`; or say why not."""
        key = (request.calling_ae_title, request.address)
        with self._lock:
            found = refusal(request, self._rules, Load(len(self._inside), self._of_peer[key]))
            if found is None:
                self._inside[association] = key
                self._of_peer[key] += 1
            elif not self._of_peer[key]:
                del self._of_peer[key]
        return found

    def leave(self, association: object) -> None:
        """Forget an association, whether it was let in or not."""
        with self._lock:
            key = self._inside.pop(association, None)
            if key is not None:
                self._of_peer[key] -= 1
                if not self._of_peer[key]:
                    del self._of_peer[key]
