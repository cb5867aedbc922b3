"""A model taken to a board that this computer does not reach, and its numbers brought back.

`bundle` packs what a board needs into one zip, `runner` is the program in it, which runs there alone,
`samples` tells timings that no clock gave, and `collect` judges what came back and records it.
"""
