"""What the market refuses, and where it stands in the request."""

from __future__ import annotations


class RequestError(ValueError):
    """A value that the market does not accept.

    `path` leads to it as in JSON, from the request: `children[0].schedule_import[1].timestamp`;
    for a value of the configuration it starts with `config.`. It is empty when the request as a
    whole is at fault.
    """

    def __init__(self, path: str, message: str):
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message

    def below(self, prefix: str) -> RequestError:
        """The same fault, seen from further up."""
        return RequestError(joined(prefix, self.path), self.message)


class DoubtError(Exception):
    """Something is not as it should be; what and where is still to be looked for."""


class TooMuchError(RequestError):
    """There is nothing wrong with the request but its size, and that of its forecast."""


def joined(prefix: str, path: str) -> str:
    """Two parts of a path as one: `steps[0].request` and `uuid`, `children` and `[1].uuid`."""
    if not prefix or not path or path.startswith("["):
        return prefix + path
    return f"{prefix}.{path}"
