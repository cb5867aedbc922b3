"""Qualcomm's NPUs in Snapdragon chips."""
