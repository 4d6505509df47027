"""OCPP: a CSMS sees the site as one charge point, and limits it by charging profiles.

    CSMS ──websocket, a loop of asyncio──► Link ──► OcppGateway (actor) ──Command──► top of the tree
      ▲                                     ▲         │   ▲ Outcome, status
      └───── answers, what the site does ───┴─────────┘   └────────────────────────── the tree

What is said to whom is decided in plain state machines: what profiles allow (smart_charging.py), which
transactions run (transactions.py), what is to be told next (charge_point.py), in the words of either version
(v16.py, v201.py); and what the modules of the tree have of it (delivery.py). The gateway is no part of the
tree: it may hang, die or be absent. Needs the extra `amptree[ocpp]`."""
