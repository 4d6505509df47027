"""Which modules a CSMS sees as its charge point's EVSEs.

`evse_energy_sink` lists EvseManagers, which are EVSE 1, 2, … and at most one node, which is EVSE 0: the site
to the CSMS. Without a node that is the root; without EvseManagers all below it are listed. EVSEs are numbered
by their connector_id where these are 1, 2, … without a gap, else in the order of the list."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from actors.config.faults import Faults, Path, did_you_mean
from actors.config.grammar import Entry, Link, Modules
from actors.config.links import Tree
from actors.site import Controller, EvseManagerConfig, Gateway, OcppLink

MAX_EVSES = 1_000
"""Of a charge point."""


def place_gateways(
    modules: Modules, tree: Tree, controllers: dict[str, Controller], faults: Faults
) -> dict[str, Gateway]:
    """All gateways, with the modules that they are connected with."""
    placed: dict[str, Gateway] = {}
    sources: dict[str, str] = {}
    for name, gateway in modules.gateways.items():
        if isinstance(gateway, OcppLink):
            (host,) = (c for c in controllers.values() if name in c.gateways)
            gateway = _Placing(gateway, modules, tree, faults).placed(host)
            used = (gateway.config.source, gateway.config.grid_operator_source)
            for source in (source for source in used if source is not None):
                if (other := sources.setdefault(source, name)) != name:
                    told = f'{other} sets the source "{source}", too; each needs a name of its own'
                    faults.add((*modules.path, name, "config"), told)
        placed[name] = gateway
    return placed


class _Placing:
    """Of one charge point."""

    def __init__(self, link: OcppLink, modules: Modules, tree: Tree, faults: Faults) -> None:
        self._link = link
        self._modules = modules
        self._tree = tree
        self._faults = faults
        self._path = (*modules.path, link.id)

    def placed(self, host: Controller) -> OcppLink:
        """The link with its modules."""
        entries = [(sink, self._found(sink)) for sink in self._modules.sinks[self._link.id]]
        nodes: list[tuple[Link, Entry]] = []
        evses: list[Entry] = []
        for sink, entry in entries:
            if entry is None:
                continue
            if entry.id in [e.id for e in evses]:
                self._faults.add(sink.path, f"duplicate name: {entry.id} is listed twice")
            elif isinstance(entry.config, EvseManagerConfig):
                evses.append(entry)
            else:
                nodes.append((sink, entry))
        for sink, entry in nodes[1:]:
            told = f"{entry.id} is a second node; {nodes[0][1].id} is the site to this CSMS already"
            self._faults.add(sink.path, told)
        station = nodes[0][1].id if nodes else self._tree.root
        below = [m for m in self._tree.order if station in self._way_up(m)]
        for sink, entry in entries:
            if entry is not None and entry in evses and entry.id not in below:
                told = f"{entry.id} is not below {station}, which is the site to this CSMS"
                self._faults.add(sink.path, told)
        if not evses:
            ours = (self._modules.ours[m] for m in below)
            evses = [entry for entry in ours if isinstance(entry.config, EvseManagerConfig)]
        if len(evses) > MAX_EVSES:
            self._faults.add(self._path, f"{len(evses)} EVSEs; a charge point has at most {MAX_EVSES}")
        if not set(self._way_up(station)) & set(host.modules):
            told = f"{station} is not below controller {host.name}, where {self._link.id} runs"
            self._faults.add(self._path, f"{told}; list it at another controller")
        self._check_sources(station, [station, *(evse.id for evse in evses)])
        return replace(self._link, station=station, evses=tuple(_numbered(evses)))

    def _found(self, sink: Link) -> Entry | None:
        entry = self._modules.ours.get(sink.target)
        if entry is None and sink.target in self._modules.strangers:
            kind = self._modules.strangers[sink.target]
            self._faults.add(sink.path, f"{sink.target} is a {kind}, which is no part of the energy tree")
        elif entry is None:
            remedy = did_you_mean(sink.target, self._modules.ours)
            self._faults.add(sink.path, f'no module "{sink.target}" in this file{remedy}')
        return entry

    def _way_up(self, module_id: str) -> list[str]:
        way = [module_id]
        while (parent := self._tree.parent.get(way[-1])) is not None:
            way.append(parent)
        return way

    def _check_sources(self, station: str, sinks: list[str]) -> None:
        config = self._link.config
        for entry in self._modules.ours.values():
            for source in entry.sources:
                path = (*entry.path, "external_limits", source.name)
                watched = source.heartbeat_timeout_s is not None or source.grid is not None
                if source.name == config.source and watched and entry.id in sinks:
                    told = f"profiles hold also without a CSMS; let {config.offline_source} watch it instead"
                    self._faults.add(path, told)
                if source.name == config.offline_source and source.heartbeat_timeout_s is None:
                    told = "needs heartbeat_timeout_s and failsafe: it only hears that the CSMS is there"
                    self._faults.add(path, told)
                timeouts_s = (source.heartbeat_timeout_s, source.grid and source.grid.heartbeat_timeout_s)
                self._check_timeout(path, source.name, [t for t in timeouts_s if t])
        declared = {source.name: source for source in self._modules.ours[station].sources}
        grid = config.grid_operator_source
        if grid is not None and (grid not in declared or declared[grid].grid is None):
            told = f"{station} declares no such source; give it external_limits: {{{grid}: {{lpc: {{}}}}}}"
            self._faults.add((*self._path, "config", "grid_operator_source"), told)

    def _check_timeout(self, path: Path, source: str, timeouts_s: list[float]) -> None:
        """A CSMS that has nothing to say is heard by its answers to pings only."""
        config = self._link.config
        if source not in (config.offline_source, config.grid_operator_source):
            return
        for timeout_s in timeouts_s:
            if timeout_s < 2 * config.ping_interval_s:
                told = (
                    f"{timeout_s:g} s are too short where a CSMS is heard each {config.ping_interval_s:g} s"
                )
                self._faults.add(path, f"{told}; lower ping_interval_s of {self._link.id}")


def _numbered(evses: Sequence[Entry]) -> list[str]:
    by_id: dict[int, str] = {}
    for entry in evses:
        assert isinstance(entry.config, EvseManagerConfig)
        by_id[entry.config.connector_id] = entry.id
    if sorted(by_id) == list(range(1, len(evses) + 1)):
        return [by_id[number] for number in sorted(by_id)]
    return [entry.id for entry in evses]
