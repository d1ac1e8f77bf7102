"""How a single HTTP request to an S3 store is sent, so that none is waited for without end.

aiohttp counts the time for an answer from the moment when the whole request is sent. Before that it
waits without limit: for `100 Continue`, which not every store sends, and for a store that takes no
more bytes.
"""

import asyncio
from typing import Any

from aiobotocore.httpsession import AIOHTTPSession  # type: ignore[import-untyped]
from botocore.exceptions import ReadTimeoutError  # type: ignore[import-untyped]

_SLOWEST_UPLOAD = 10_000  # bytes a second, beside other uploads on one slow line

# Before a larger body the store is asked whether it wants it (`Expect: 100-continue`): a refusal
# then costs no upload. A smaller one is sent at once, which saves a wait for that answer.
_SMALL_BODY = 1 << 20  # bytes


class BoundedSession(AIOHTTPSession):  # type: ignore[misc]
    """Requests that end, whatever the store does with them."""

    async def send(self, request: Any) -> Any:
        """The answer to a request of botocore's.

        Raises:
            ReadTimeoutError: There was none within `read_timeout` (an option of botocore's) and the
                time that its body may take.
        """
        length = int(request.headers.get("Content-Length", 0))
        if length <= _SMALL_BODY:
            request.headers.pop("Expect", None)
        longest = None
        if self._timeout.sock_read is not None:
            longest = self._timeout.sock_read + length / _SLOWEST_UPLOAD
        try:
            async with asyncio.timeout(longest):
                return await super().send(request)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from None
