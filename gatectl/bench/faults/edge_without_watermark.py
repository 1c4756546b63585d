"""The daemon without the watermark rule: it forgets an event when the broker has it. `kill9` must find it out."""

from typing import Any

from gatectl.edge import daemon
from gatectl.edge.uplink import Uplink

_PUBLISH = Uplink.publish


def _publish_and_forget(self: Uplink, leaf: str, payload: bytes, **options: Any) -> None:
    _PUBLISH(self, leaf, payload, **options)
    if leaf == "ev" and not self.is_offline():
        self._store.delete_upto(self._plan.sent_upto)


if __name__ == "__main__":
    Uplink.publish = _publish_and_forget  # type: ignore[method-assign]
    raise SystemExit(daemon.main())
