"""Meanings of the error codes that devices report about themselves.

Source: the contract's examples. A code that is not listed is shown as its number; the device's own message explains it.
"""

MEANINGS: dict[int, str] = {1002: "GPIO conflict: the pin is in use already"}


def meaning(error_code: int, category: str | None) -> str:
    """One line for an operator."""
    known = MEANINGS.get(error_code)
    place = f" ({category.lower()})" if category else ""
    return f"{known}{place}" if known else f"device error {error_code}{place}"
