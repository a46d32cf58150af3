"""uvicorn's fast HTTP/1.1 parser with an end to the header: it alone keeps whatever a stranger sends before the first blank line.

30 MB of one header grew the process by 26 MB, before any token is read. Knows no route.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
"""Request line and header: four times what the large servers allow, and one read of the socket."""


class BoundedHead(HttpToolsProtocol):
    """Answers 400 and closes where a header does not end."""

    _head_bytes: int | None = 0
    """Read since the header began; None while there is none to be read."""

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the methods below."""
        was_within_body = self._head_bytes is None
        super().data_received(data)
        if self._head_bytes is not None and not was_within_body:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The header is too large.")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The blank line after the header."""
        self._head_bytes = None
        super().on_headers_complete()
