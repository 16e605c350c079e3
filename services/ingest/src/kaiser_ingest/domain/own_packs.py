"""Which devices have packs of rejections of their own, so that many floods together have a bounded part; pure."""

from kaiser_common.contract.subjects import REJECTED

MOST_OWN = 4
"""With packs of several devices for each of the 13 codes these are 17 subjects of 2,000 packs of 24 KiB: 0.8 GiB."""
_FOR_S = REJECTED.max_age_s or 0.0


class OwnPacks:
    """Remembers the subjects, each of a device and code, that had packs of their own within the week in which REJECTED
    keeps them: at most four. Forgotten with the process, so after a restart four others may have theirs."""

    def __init__(self) -> None:
        self._last_s: dict[str, float] = {}

    def allows(self, subject: str, now_s: float) -> bool:
        """Whether rejections of this subject are packs of its own now; otherwise they go into those of several."""
        self._last_s = {each: at for each, at in self._last_s.items() if now_s - at < _FOR_S}
        if subject not in self._last_s and len(self._last_s) >= MOST_OWN:
            return False
        self._last_s[subject] = now_s
        return True
