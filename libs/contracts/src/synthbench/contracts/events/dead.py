"""Messages that could not be handled. They are kept whole, nothing vanishes."""

from datetime import datetime

from synthbench.contracts.model import Record


class DeadLetter(Record):
    """The message, its headers, and why a consumer gave it up."""

    stream: str
    consumer: str
    subject: str
    stream_sequence: int
    headers: dict[str, str] = {}
    payload: str
    """The payload in base64: it may be anything."""
    deliveries: int
    error: str
    """One line."""
    first_delivered_at: datetime
    died_at: datetime
