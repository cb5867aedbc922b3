"""One file per accelerator, behind one protocol: probe, compile, open, run."""
