"""The column type for times, and the server-side default values, that the tables of all services share."""

from sqlalchemy import DateTime, text

TIME = DateTime(timezone=True)
"""A timestamptz."""
NOW = text("now()")
NO = text("false")
ZERO = text("0")
NO_TEXT = text("''")
NO_ITEMS = text("'{}'")
"""An empty JSON object, or an empty array."""
