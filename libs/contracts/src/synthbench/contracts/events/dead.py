"""Messages that could not be handled. They are kept whole, nothing vanishes."""

from synthbench.contracts.model import Record
from synthbench.contracts.numbers import Count, Moment
from synthbench.contracts.text import Line, Name, Text


class DeadLetter(Record):
    """The message, its headers, and why a consumer gave it up."""

    stream: Name
    consumer: Name
    subject: Text
    stream_sequence: Count
    headers: dict[Text, Text] = {}
    payload: Text
    """The payload in base64: it may be anything."""
    deliveries: Count
    error: Line
    """One line."""
    first_delivered_at: Moment
    died_at: Moment
