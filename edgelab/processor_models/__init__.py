"""Models of processors: a warp in lockstep, the roofline, what a network asks of a device."""
