"""An event loop that gives up TLS handshakes after a time of our own: uvicorn can set none, asyncio's own is 60 s."""

import asyncio
from typing import Any


class HandshakeBoundLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on Unix, but for the servers that are made in it."""

    def __init__(self, handshake_seconds: float) -> None:
        """A handshake with a server of this loop may last `handshake_seconds`."""
        super().__init__()
        self._handshake_seconds = handshake_seconds

    async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:  # noqa: ANN401 (asyncio's own arguments)
        """As asyncio's."""
        if kwargs.get("ssl") is not None:
            kwargs.setdefault("ssl_handshake_timeout", self._handshake_seconds)
        return await super().create_server(*args, **kwargs)
