from __future__ import annotations

from typing import Any, cast

import pytest

from tests.transport.helpers import Ping, Stranger
from transport import Registry


def test_a_registered_type_is_found_by_its_name_and_its_message() -> None:
    registry = Registry()
    registry.add(Ping, "ping")
    assert registry.kind_of(Ping(1)) == "ping"
    assert registry.decoder("ping") is not None
    assert registry.decoder("pong") is None


def test_doubles_and_what_is_no_struct_are_refused() -> None:
    registry = Registry()
    registry.add(Ping, "ping")
    with pytest.raises(ValueError, match="'ping' is registered twice"):
        registry.add(Stranger, "ping")
    with pytest.raises(ValueError, match="Ping is registered twice, as 'ping'"):
        registry.add(Ping, "pong")
    with pytest.raises(TypeError, match="not a msgspec Struct"):
        registry.add(cast(Any, dict), "dict")
    with pytest.raises(TypeError, match="not a msgspec Struct"):
        registry.add(cast(Any, Ping(1)), "instance")
    with pytest.raises(ValueError, match="1 to 128 characters"):
        registry.add(Stranger, "")


def test_a_message_that_nobody_registered_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="Stranger is not registered"):
        Registry().kind_of(Stranger())
