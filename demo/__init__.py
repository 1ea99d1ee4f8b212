"""The main job of the operator, shown on a real cluster: `make demo`."""
