"""The codes are those of the contract."""

from kaiser_common.contract.errors import Code, Rejected


def test_a_code_keeps_its_number() -> None:
    assert len(Code) == 42
    assert (Code.ESP_DEVICE_NOT_FOUND, Code.SESSION_TAKEN_OVER, Code.JSON_PARSE_ERROR) == (5001, 5108, 5209)
    assert Code.NOT_FOUND == 5415


def test_a_rejected_message_says_its_code_in_words() -> None:
    assert str(Rejected(Code.INVALID_GPIO, "gpio 99", "gpio")) == "5202 INVALID_GPIO: gpio 99"
