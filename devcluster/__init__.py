"""The local cluster for the demo and the tests: a real one-node Kubernetes built from pinned Go modules."""
