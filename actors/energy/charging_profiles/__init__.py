"""OCPP's charging profiles: what a charge point may take, and the limits that follow from all it has taken.

Both versions are mapped to one form (profile.py, by wire.py). What may be taken is decided by the profile
itself (checks.py) and by what is installed already (installed.py). What holds at an instant (composite.py):

    purpose                              where      applies
    ChargingStationExternalConstraints   EVSE 0     always            (2.0.1 only)
    ChargingStationMaxProfile            EVSE 0     always            (1.6: ChargePointMaxProfile)
    TxProfile, else TxDefaultProfile     an EVSE    in a transaction; TxDefaultProfile of EVSE 0 at each EVSE

Of a purpose the profile with the highest stack level counts that has a period at the instant; where it has
none, the next lower one. Of purposes the lowest limit and the lowest number of phases count. What the market
is given (limits.py) and what GetCompositeSchedule answers come from the same steps.

Instants are whole seconds since the epoch: OCPP counts periods in seconds.
"""
