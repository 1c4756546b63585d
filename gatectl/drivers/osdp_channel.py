"""The wire under libosdp: bytes to and from an open port, with an ear for who answers."""

import time

from gatectl.drivers.checksums import ChecksumKind, checksum
from gatectl.drivers.serial_port import SerialLine

Capability = tuple[int, int, int]
"""Function code, compliance level, number of items."""
_SOM = 0x53
_REPLY = 0x80
_PDCAP = 0x46
_MAX_KEPT = 4096
_HEADER = 6
"""SOM, address, length (2), control, reply code."""
_HAS_CRC, _HAS_SECURITY_BLOCK = 0x04, 0x08
SECURITY = 9
"""The function code of communication security in a capability report."""


class BusChannel:
    """What libosdp calls on the bus's thread. Never raises: a dead port stands in `lost`."""

    def __init__(self, line: SerialLine, bus_id: int) -> None:
        self.id = bus_id
        self.lost: OSError | TypeError | None = None
        self.heard_ns: dict[int, int] = {}
        """Monotonic ns when each address last began an answer."""
        self.capabilities: dict[int, tuple[Capability, ...]] = {}
        """Each address's last report, without empty entries. It travels in clear, and libosdp keeps old ones."""
        self._line = line
        self._asked = -1
        self._kept = bytearray()
        self._ear = bytearray()

    def offers_security(self, address: int) -> bool:
        """Whether the address claims to know the secure channel; a reader that has reported nothing may."""
        found = self.capabilities.get(address)
        return found is None or any(code == SECURITY and level & 1 for code, level, _ in found)

    def pump(self) -> None:
        """Wait for bytes for as long as the port's read timeout, and keep them for libosdp."""
        try:
            data = self._line.read(1)
            if data and (more := self._line.in_waiting):
                data += self._line.read(more)
        except (OSError, TypeError) as error:  # TypeError: pyserial, pulled within a read
            self.lost = error
            return
        if data:
            self._kept += data
            del self._kept[:-_MAX_KEPT]
            self._listen(data)

    def read(self, most: int) -> bytes:
        """Up to `most` of the bytes that came; none when none did."""
        data = bytes(self._kept[:most])
        del self._kept[:most]
        return data

    def write(self, data: bytes) -> int:
        """Send a whole packet; 0 when the port takes none."""
        self._ear.clear()
        at = data.find(_SOM)
        self._asked = data[at + 1] if 0 <= at < len(data) - 1 else -1
        try:
            self._line.write(data)
        except (OSError, TypeError) as error:
            self.lost = error
            return 0
        return len(data)

    def flush(self) -> None:
        """Forget what came unasked."""
        self._kept.clear()

    def _listen(self, data: bytes) -> None:
        """Note who answers, and what a capability report says about security."""
        self._ear += data
        del self._ear[:-_MAX_KEPT]
        at = self._ear.find(bytes((_SOM, self._asked | _REPLY))) if self._asked >= 0 else -1
        if at >= 0:
            self.heard_ns[self._asked] = time.monotonic_ns()
            self._note_capabilities(at, self._asked)

    def _note_capabilities(self, at: int, address: int) -> None:
        frame = self._ear[at:]
        if len(frame) < _HEADER:
            return
        size = int.from_bytes(frame[2:4], "little")
        control = frame[4]
        if len(frame) < size or control & _HAS_SECURITY_BLOCK or frame[5] != _PDCAP:
            return
        tail = 2 if control & _HAS_CRC else 1
        kind: ChecksumKind = "crc16_aug" if control & _HAS_CRC else "sum2c"
        if size < _HEADER + tail or int.from_bytes(frame[size - tail : size], "little") != checksum(
            kind, bytes(frame[: size - tail])
        ):
            return
        body = frame[_HEADER : size - tail]
        triples = ((body[i], body[i + 1], body[i + 2]) for i in range(0, len(body) - 2, 3))
        self.capabilities[address] = tuple(sorted(triple for triple in triples if triple[1] or triple[2]))
