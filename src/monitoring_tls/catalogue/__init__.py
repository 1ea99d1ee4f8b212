"""Component catalogues: what a monitoring stack is made of, as data."""
