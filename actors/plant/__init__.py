"""The simulated site: EVSE hardware, cars, fixed loads and breakers; ground truth of every fault test.

    story ──arrivals──► Installation ──reads──► breakers ──trip──► (cuts what is below)
                             │ holds for each EVSE
                             ▼
    Actuate ──► Evse (watchdog, contactor) ◄──draws── Car (battery, reaction)

All but `process`, `watchers` and `recording` is pure: time comes in as an argument, chance from the
story's seed. Positive currents flow from the grid.
"""
