"""A subscriber that is no part of the program: it reads RecordIO as it comes and remembers everything."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import aiohttp

SUBSCRIBE = {"type": "SUBSCRIBE"}


class Reader:
    """What arrived: `raw` octets, `chunks` as the HTTP chunks had them, and whether the end was proper."""

    def __init__(self):
        self.raw = bytearray()
        self._records, self._parsed = [], 0
        self.chunks = []
        self.ended = None
        self._news = asyncio.Event()

    async def read(self, response):
        chunk = b""
        try:
            while True:
                data, complete = await response.content.readchunk()
                if not data and not complete:
                    break
                self.raw += data
                chunk += data
                if complete:
                    self.chunks.append(chunk)
                    chunk = b""
                self._news.set()
            self.ended = "proper"
        except aiohttp.ClientError:
            self.ended = "broken"
        self._news.set()

    @property
    def records(self):
        """The whole records so far; ValueError when what should be a length is none."""
        while (newline := self.raw.find(b"\n", self._parsed)) >= 0:
            end = newline + 1 + int(self.raw[self._parsed : newline])
            if len(self.raw) < end:
                break
            self._records.append(json.loads(self.raw[newline + 1 : end]))
            self._parsed = end
        return self._records

    @property
    def kinds(self):
        return [record["type"] for record in self.records]

    async def until(self, condition):
        """Wait until `condition()` holds."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def count(self, number):
        """Wait for that many records and return all."""
        await self.until(lambda: len(self.records) >= number)
        return self.records


@asynccontextmanager
async def subscribed(url, **options):
    """Subscribe at a master's base URL for the time of the block."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/api/v1", json=SUBSCRIBE, **options) as response,
    ):
        assert response.status == 200, await response.text()
        reader = Reader()
        reading = asyncio.get_running_loop().create_task(reader.read(response))
        yield reader
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
