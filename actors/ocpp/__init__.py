"""What both ends of an OCPP connection need: the libraries, frames, and a conversation over a websocket.

Here a site is a charge point to a CSMS (actors/gateways/ocpp), and a CSMS to chargers. Frames are read and
judged here and not by the `ocpp` package, which answers nothing to what it cannot read; its schemas are what
they are judged by. Needs the extra `amptree[ocpp]`."""
