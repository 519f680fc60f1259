"""News for the pages that are open: server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator

PING_S = 15.0
MOST_WAITING = 1000
"""Events that a page may be behind; one that is further behind is cut off, and asks again for everything."""


class Events:
    """Sends what happens to every page that listens. ``send`` may be called from any thread."""

    def __init__(self):
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: set[asyncio.Queue] = set()

    def start(self) -> None:
        """Take the running loop as the one that serves."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """End every stream."""
        for queue in list(self._queues):
            _put(queue, None)

    def send(self, event: str, data) -> None:
        """Tell every page."""
        text = f"event: {event}\ndata: {json.dumps(data, allow_nan=False)}\n\n"
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._spread, text)

    def _spread(self, text: str) -> None:
        for queue in list(self._queues):
            _put(queue, text)

    async def stream(self, first: list[tuple[str, dict]]) -> AsyncIterator[str]:
        """One page's stream, which begins with ``first``."""
        queue: asyncio.Queue = asyncio.Queue(MOST_WAITING)
        self._queues.add(queue)
        try:
            for event, data in first:
                yield f"event: {event}\ndata: {json.dumps(data, allow_nan=False)}\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), PING_S)
                except TimeoutError:
                    yield ": ping\n\n"
                    continue
                if text is None:
                    return
                yield text
        finally:
            self._queues.discard(queue)


def _put(queue: asyncio.Queue, text: str | None) -> None:
    try:
        queue.put_nowait(text)
    except asyncio.QueueFull:
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
