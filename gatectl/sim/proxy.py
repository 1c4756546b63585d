"""A small TCP proxy that can be cut, delayed and made deaf: how a gate loses its network here."""

import heapq
import itertools
import selectors
import socket
import threading
import time

_CHUNK_BYTES = 65536
_TURN_S = 0.2


class CutProxy:
    """Forwards `host`:`port` to one target until `cut`; `mend` lets connections through again."""

    def __init__(self, target_host: str, target_port: int, host: str = "127.0.0.1") -> None:
        self._target = (target_host, target_port)
        self._listener = socket.create_server((host, 0))
        self.delay_s = 0.0
        """Every byte arrives so much later, in both directions."""
        self.is_deaf = False
        """Connections stay open and nothing comes through: what a lost peer looks like."""
        self._late: list[tuple[float, int, socket.socket, bytes]] = []
        self._numbers = itertools.count()
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._is_cut = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cut-proxy", daemon=True)

    def start(self) -> None:
        """Begin to forward."""
        self._thread.start()

    def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        self._is_cut.set()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut.clear()

    def stop(self) -> None:
        """End the thread and close everything."""
        self._is_stopping.set()
        self._thread.join(2.0)
        for end in (*self._pairs, self._listener):
            end.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            ready = self._selector.select(min(_TURN_S, 0.01) if self._late else _TURN_S)
            self._deliver()
            if self._is_cut.is_set():
                for end in tuple(self._pairs):
                    self._drop(end)
            for key, _ in ready:
                near = key.fileobj
                if near is self._listener:
                    self._accept()
                elif isinstance(near, socket.socket) and near in self._pairs:
                    self._forward(near)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        if self._is_cut.is_set():
            near.close()
            return
        try:
            far = socket.create_connection(self._target, 2.0)
        except OSError:
            near.close()
            return
        for end in (near, far):
            self._selector.register(end, selectors.EVENT_READ)
        self._pairs[near], self._pairs[far] = far, near

    def _forward(self, end: socket.socket) -> None:
        try:
            data = end.recv(_CHUNK_BYTES)
            if data:
                if self.delay_s:
                    entry = (time.monotonic() + self.delay_s, next(self._numbers), self._pairs[end], data)
                    heapq.heappush(self._late, entry)
                elif not self.is_deaf:
                    self._pairs[end].sendall(data)
                return
        except OSError:
            pass  # either side is gone: the pair goes
        self._drop(end)

    def _deliver(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic():
            _due, _number, end, data = heapq.heappop(self._late)
            if end in self._pairs:
                try:
                    end.sendall(data)
                except OSError:
                    self._drop(end)

    def _drop(self, end: socket.socket) -> None:
        other = self._pairs.pop(end, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        for side in (end, other):
            self._selector.unregister(side)
            side.close()
