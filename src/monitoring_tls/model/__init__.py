"""Values that every other package speaks in: frozen, touching nothing of the world, importing nothing of ours."""
