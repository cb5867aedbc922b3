"""LiteRT's GPU path, checked against the CPU before it is believed."""
