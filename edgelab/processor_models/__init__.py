"""Models of processors: warps in lockstep, counted kernels, the roofline, what a network asks of a device."""
