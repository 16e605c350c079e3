"""Messages of the stream REJECTED: the subjects of the wanted ones, and their rejections one by one; pure."""

from collections.abc import Iterator

from kaiser_common.bus.pull import Delivery
from kaiser_common.contract.pack import NotAPack, seq_of
from kaiser_common.contract.schemas.api.rejected import RejectedCause, RejectedQuery
from kaiser_common.contract.schemas.event import RejectedMessage
from kaiser_common.contract.subjects import SEVERAL
from kaiser_factory_dialect.subjects import token
from pydantic import ValidationError


def subjects_of(wanted: RejectedCause | RejectedQuery) -> list[str]:
    """The subjects with the wanted rejections: single messages, and packs that have rejections of other devices too."""
    of_code = f"rejected.{wanted.code if wanted.code is not None else '*'}"
    whose = wanted.esp_id or (token(wanted.serial) if wanted.serial is not None else None)
    return [f"{of_code}.*"] if whose is None else [f"{of_code}.{whose}", f"{of_code}.{SEVERAL}"]


def lines_of(delivery: Delivery, *, newest_first: bool = False) -> Iterator[tuple[int, RejectedMessage]]:
    """The rejections of a message, each with its seq; unreadable lines are omitted."""
    try:
        lines = delivery.lines()
    except NotAPack:
        return
    numbers = range(len(lines))
    for number in reversed(numbers) if newest_first else numbers:
        try:
            yield seq_of(delivery.stream_sequence, number), RejectedMessage.model_validate_json(lines[number])
        except ValidationError:
            continue
