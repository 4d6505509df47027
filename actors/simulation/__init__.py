"""A whole site in simulated time, with everything going wrong that is assumed may.

    seed ──sites, faults, workload──► Plan ──► World: cores ◄─network─► hardware ──► Checker
                                                  │                                     │
                                                  └──► Liveness ──► Result ◄── overloads┘

One seed draws everything; equal seeds and code give equal runs, event by event. The real cores and the
real market run; actors, threads and sockets do not. Assumed are only the bounds that the cores rely on:
clock rates within 10 % of true time, cars that settle in time, hardware that ends its limits by its own
clock, and links to hardware that keep the order.
"""
