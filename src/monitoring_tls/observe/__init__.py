"""API objects and handshakes become values: the snapshot that `plan` is given."""
