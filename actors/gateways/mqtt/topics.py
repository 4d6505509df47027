"""All topics, by name.

everest/SITE/MODULE/…                                            what the site tells, and short ways in
everest_api/1/external_energy_limits_consumer/MODULE/m2e|e2m/…   EVerest's own API, as its clients know it
everest_api/1/evse_manager_consumer/EVSE/e2m/enforced_limits

The root is also called energy_mgmt, unless another module has that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from actors.site import Site

ALIAS = "energy_mgmt"
"""Of the root."""
LIMITS_API = "external_energy_limits_consumer"
EVSE_API = "evse_manager_consumer"
API_VERSION = 1

SETTERS = (
    "set_limits",
    "set_limit_watts",
    "set_limit_amps",
    "clear_limits",
    "heartbeat",
    "cancel_delay",
    "set_prices",
)
"""Short ways in, below everest/SITE/MODULE/."""
SET, GET_CAPABILITIES, CHECK = "set_external_limits", "capabilities/get", "communication_check"
DISCOVER, QUERY = "discover", "query-modules"
HOME_ASSISTANT = "status"

TOPIC_MAX_B = 512
"""Of a topic that is listened to or answered to."""


class Way(Struct, frozen=True):
    """What a topic that we listen to is for."""

    verb: str
    name: str = ""
    """The module as the topic names it, or the API that is asked for."""
    api: bool = False
    """Whether it is of EVerest's API."""


class Topics:
    """The topics of a site at one broker."""

    def __init__(self, site: Site, prefix: str, gateway: str, discovery_prefix: str | None) -> None:
        self._root = site.root
        self._own = f"{prefix}everest/{site.name}"
        self._everest = f"{prefix}everest_api"
        self._alias = None if ALIAS in site.modules else ALIAS
        self.availability = f"{self._own}/{gateway}/availability"
        self.ready_beacon = f"{self._everest}/ready_beacon"
        self.home_assistant = None if discovery_prefix is None else f"{discovery_prefix}/{HOME_ASSISTANT}"
        self._discovery = discovery_prefix

    # --- out ---------------------------------------------------------------------------------------

    def telemetry(self, module_id: str, what: str) -> str:
        """What a module tells; the root's stands beside those of others without their energy_grid."""
        if module_id == self._root:
            return f"{self._own}/{module_id}/{what}"
        return f"{self._own}/{module_id}/energy_grid/{what}"

    def alias(self, what: str) -> str | None:
        """The same of the root by its other name."""
        return None if self._alias is None else f"{self._own}/{self._alias}/{what}"

    def setter(self, module_id: str, what: str) -> str:
        """One of SETTERS."""
        return f"{self._own}/{module_id}/{what}"

    def answers(self, way: Way) -> str:
        """Where a message that came this way is answered, besides where it wants to be."""
        if way.api:
            return self.limits_api(way.name, "result") if way.name else f"{self._everest}/result"
        return f"{self._own}/{way.name}/result"

    def limits_api(self, module_id: str, what: str) -> str:
        """EVerest's API of external limits, to clients."""
        return f"{self._everest}/{API_VERSION}/{LIMITS_API}/{module_id}/e2m/{what}"

    def evse_api(self, evse_id: str, what: str) -> str:
        """EVerest's API of an EVSE, to clients."""
        return f"{self._everest}/{API_VERSION}/{EVSE_API}/{evse_id}/e2m/{what}"

    def discovery(self, device: str) -> str:
        """Where Home Assistant learns of a device."""
        return f"{self._discovery}/device/{device}/config"

    # --- in ----------------------------------------------------------------------------------------

    def filters(self, modules: Iterable[str], *, accept_limits: bool) -> Iterator[tuple[str, int]]:
        """What to subscribe to, with the quality of service. EVerest's API is subscribed module by module:
        a charger that runs EVerest may be at the same broker, and is none of our business."""
        yield f"{self._everest}/{DISCOVER}", 1
        yield f"{self._everest}/{QUERY}/+", 1
        if self.home_assistant is not None:
            yield self.home_assistant, 1
        for setter in SETTERS:
            if accept_limits:
                # What was said while nobody listened says nothing of now.
                yield f"{self._own}/+/{setter}", 0 if setter == "heartbeat" else 1
        for module_id in modules:
            to_us = f"{self._everest}/{API_VERSION}/{LIMITS_API}/{module_id}/m2e"
            yield f"{to_us}/{GET_CAPABILITIES}", 1
            if accept_limits:
                yield f"{to_us}/{SET}", 1
                yield f"{to_us}/{CHECK}", 0

    def way_in(self, topic: str) -> Way | None:
        """What a topic is for; None for one that we do not listen to."""
        if len(topic.encode(errors="replace")) > TOPIC_MAX_B:
            return None  # it could not even be answered
        if topic == self.home_assistant:
            return Way(HOME_ASSISTANT)
        match topic.removeprefix(f"{self._own}/").split("/"):
            case [name, verb] if topic.startswith(f"{self._own}/") and verb in SETTERS:
                return Way(verb, name)
        if not topic.startswith(f"{self._everest}/"):
            return None
        match topic.removeprefix(f"{self._everest}/").split("/", 4):
            case ["discover"]:
                return Way(DISCOVER, api=True)
            case ["query-modules", api]:
                return Way(QUERY, api, api=True)
            case [version, api, name, "m2e", verb] if (version, api) == (str(API_VERSION), LIMITS_API):
                if verb in (SET, GET_CAPABILITIES, CHECK):
                    return Way(verb, name, api=True)
        return None

    def module_id(self, name: str) -> str:
        """The module that a topic names."""
        return self._root if name == self._alias else name

    def fault_of_reply(self, topic: str) -> str | None:
        """Why an answer cannot be sent there; None if it can."""
        if not 0 < len(topic.encode(errors="replace")) <= TOPIC_MAX_B:
            return f"a topic to answer to has 1 to {TOPIC_MAX_B} bytes"
        if any(c in topic for c in "+#") or not topic.isprintable():
            return "a topic to answer to has no wildcards and no control characters"
        if topic.startswith("$") or self.way_in(topic) is not None:
            return "answers cannot be sent there"
        return None
