"""What all adapters of an SDK have in common, from a request to its turn."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from engine.domain.conversation import Request, Turn
from engine.models.adapters.dialects import Dialects
from engine.models.adapters.exchange import Reader, StreamedResponse, exchange
from engine.models.adapters.wire_format import Json
from engine.models.endpoint import Endpoint


class SdkProvider(ABC):
    """Implements protocols.Provider, in the dialect of each server. `client` is the SDK's."""

    def __init__(self, endpoint: Endpoint, dialects: Dialects, reader: type[Reader], client: Any) -> None:
        self.name = endpoint.name
        self._endpoint, self._dialects, self._reader, self._client = endpoint, dialects, reader, client

    async def ask(
        self,
        request: Request,
        on_text: Callable[[str], None],
        on_output: Callable[[int], None] = lambda characters: None,
    ) -> Turn:
        """One streamed call. Raises ModelError."""

        async def send(body: Json) -> Turn:
            reader = self._reader(self._endpoint, request, on_text, on_output)
            return await exchange(lambda: self._opened(request, body), reader)

        return await self._dialects.ask(request.model, lambda: self._body(request), send)

    async def close(self) -> None:
        await self._client.close()

    @abstractmethod
    def _body(self, request: Request) -> Json: ...

    @abstractmethod
    def _opened(self, request: Request, body: Json) -> AbstractAsyncContextManager[StreamedResponse]:
        """The SDK's call. OpenAI's SDK gets the conversation as `extra_body`: as a typed argument, it would be walked
        item by item, which takes a second of CPU for 400 turns."""
