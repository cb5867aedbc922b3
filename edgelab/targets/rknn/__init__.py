"""Rockchip's NPUs."""
