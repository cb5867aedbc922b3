"""Arm's Ethos-U, compiled by Vela."""
