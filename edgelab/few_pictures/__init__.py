"""A trained network put to a new use with few pictures: tasks, tuning, ImageNet's weights, ResNet50."""
