"""The pure core: state, event and time go in, new values and effects come out.

Nothing here knows a clock, thread, socket, log or actor; time is always an argument.
"""
