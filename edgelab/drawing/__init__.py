"""What several figures draw alike: the graph of a model, names beside points."""
