"""What is answered to who asks for the status, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from actors import clock
from actors.energy.external import SavedSources
from actors.energy.manager import ManagerCore
from actors.energy.messages import OptimizerStatus
from actors.gateways.control import ControlGateway
from actors.handle import Handle
from actors.loop import Loop
from actors.manager import EnergyManager
from actors.tree_actor import Outlets, StatusAnswer, StatusQuery
from actors.wiring import StatusRequest
from tests.actors.test_identities import SITE, delivery
from tests.energy.builders import child, report, trunk


class Nowhere:
    """Where messages of an actor go that is alone."""

    def to_child(self, *_: Any) -> None: ...
    def to_gateway(self, *_: Any) -> None: ...
    def let_go(self) -> None: ...
    def save(self, _: str, sources: SavedSources) -> bool:
        return True

    def keep_epoch(self, *_: Any) -> None: ...
    def load_sessions(self, _: str) -> dict[str, Any]:
        return {}

    def keep_sessions(self, *_: Any) -> bool:
        return True


@pytest.fixture
def root() -> Iterator[Handle]:
    """A root that has heard its only EVSE."""
    loop, handle = Loop("root"), Handle("root")
    loop.start()
    core = ManagerCore(trunk("root", child("a")), clock.now(), kept_epoch=0)
    handle.attach(EnergyManager.start(loop, core, handle, cast(Outlets, Nowhere())))
    handle.tell(report("a", 1.0))
    yield handle
    assert handle.end()(10.0)
    loop.stop()


def optimizer(root: Handle, **more: bool) -> OptimizerStatus:
    answers: list[StatusAnswer] = []
    root.tell(StatusQuery(answers.append, **more))
    assert root.end()(10.0)
    assert answers[0].optimizer is not None
    return answers[0].optimizer


def test_reasons_and_forecast_are_told_where_they_are_asked_for(root: Handle) -> None:
    told = optimizer(root)
    assert told.runs
    assert [reason.split()[0] for reason in told.reasons] == ["a"]
    assert [limits.uuid for limits in told.forecast] == ["a"]
    assert told.request is None


def test_who_only_wants_to_know_who_is_there_is_told_no_reasons(root: Handle) -> None:
    told = optimizer(root, with_reasons=False, with_request=True)
    assert told.runs
    assert (told.reasons, told.forecast) == ((), ())
    assert told.request is not None


def test_a_client_that_asks_again_is_answered_once() -> None:
    class Noting:
        asked: tuple[Any, ...] = ()

        def tell(self, _: StatusQuery, *, key: Any) -> bool:
            self.asked += (key,)
            return True

    noting = Noting()
    gateway = ControlGateway(SITE, "main", {"root": cast(Handle, noting)})
    for number, client in enumerate(("operator/a", "operator/a", "operator/b")):
        gateway.on_message(delivery(StatusRequest(id=str(number)), client, "client", ""))
    first, again, other = noting.asked
    assert again == first
    assert other != first
