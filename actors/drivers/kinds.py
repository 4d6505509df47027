"""Modules that link EVSEs of a controller with their chargers, as configured."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from actors.mqtt.config import BrokerConfig

Seconds = Annotated[float, Meta(ge=1, le=3600)]


class OcppChargersConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where OCPP chargers connect to, and how they are served."""

    host: str = "0.0.0.0"
    """The address of this machine that they connect to; by default all of them."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 9000
    passwords_file: str | None = None
    """A line a charger: its identity and its password, with a blank between them."""
    without_passwords: bool = False
    """Whoever names itself as one of the chargers is believed: only where nobody else can connect."""
    cert_file: str | None = None
    key_file: str | None = None
    """With both, chargers connect with TLS."""
    client_ca_file: str | None = None
    """Certificates of authorities; with it chargers must show a certificate of theirs, with their identity as
    its common name."""
    min_lease_s: Annotated[int, Meta(ge=5, le=3600)] = 60
    """The shortest time for which a limit can be told to them."""
    id_tags: tuple[str, ...] | None = None
    """Cards that may charge; by default all."""
    limit_profile: Literal["TxDefaultProfile", "TxProfile", "ChargePointMaxProfile"] = "TxDefaultProfile"
    """Purpose of the charging profiles by which they are told their limits."""
    meter_interval_s: Annotated[int, Meta(ge=1, le=300)] = 10
    """How often they shall tell what flows."""
    call_timeout_s: Annotated[float, Meta(ge=1, le=120)] = 15.0
    """After so long without an answer a message to them counts as not answered."""


class EverestChargersConfig(BrokerConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker at which chargers that run EVerest are, and by which names. `{charger}` stands for what the
    EVSE says as its `charger`."""

    topic_prefix: str = ""
    """Goes before all topics: `{charger}/` makes evse_1/everest_api/…"""
    evse_module: str = "{charger}"
    """The charger's module evse_manager_consumer_API."""
    limits_module: str = "{charger}_limits"
    """Its module external_energy_limits_consumer_API."""
    min_lease_s: Annotated[int, Meta(ge=5, le=3600)] = 20
    """The shortest time for which a limit can be told to them."""
    reaction_s: Annotated[float, Meta(ge=0.5, le=60)] = 3.0
    """A charger has lowered its limit so long after an entry of its schedule is over: its energy manager's
    update_interval, and a little."""


ChargersConfig = OcppChargersConfig | EverestChargersConfig

CHARGERS: dict[str, tuple[str, type[OcppChargersConfig] | type[EverestChargersConfig]]] = {
    "OcppChargers": ("ocpp", OcppChargersConfig),
    "EverestChargers": ("everest", EverestChargersConfig),
}
"""Kind of module -> what an EVSE calls it in `driver`, and its configuration."""


class Chargers(Struct, frozen=True, kw_only=True):
    """Links EVSEs of one controller with their chargers; no part of the tree."""

    id: str
    kind: str
    config: ChargersConfig

    @property
    def driver(self) -> str:
        """What its EVSEs call it in `driver`."""
        return CHARGERS[self.kind][0]
