"""Models of processors: a warp in lockstep, kernels on counted arrays, the roofline, what a network asks of a device."""
