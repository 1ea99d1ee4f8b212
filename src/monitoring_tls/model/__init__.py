"""Values that every other package speaks in. Frozen, without behaviour that touches the world, importing nothing of ours."""
