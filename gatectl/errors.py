"""The error tree: each class says whose fault it is."""


class GatectlError(Exception):
    """Base of every error that gatectl raises on purpose; `zh` may carry the same words in Chinese."""

    def __init__(self, message: str = "", *, zh: str = "") -> None:
        super().__init__(message)
        self.zh = zh

    def words(self, language: str) -> str:
        """The message in `zh` or `en`; English where no Chinese was given."""
        return self.zh if language == "zh" and self.zh else str(self)


class ConfigError(GatectlError):
    """The operator's file is wrong; the message names file, key, rule and an example, for every mistake at once."""


class LinkError(GatectlError):
    """A cable or a peer failed; trying again may help."""


class FrameError(LinkError):
    """A peer sent bytes that are no valid frame; they stand in `raw`."""

    def __init__(self, message: str, raw: bytes = b"") -> None:
        super().__init__(message)
        self.raw = raw


class PayloadError(LinkError):
    """A message has an unknown version, a broken shape or a bad signature; its bytes stand in `raw`."""

    def __init__(self, message: str, raw: bytes = b"") -> None:
        super().__init__(message)
        self.raw = raw


class StoreError(GatectlError):
    """The disk or the database refused."""


class NotFoundError(GatectlError):
    """What was asked for does not exist."""


class RefusedError(GatectlError):
    """A safety or privacy rule refused; the message says which."""


class ContractError(GatectlError):
    """Our own bug: a promise between two of our modules was broken. Crash, do not continue."""
