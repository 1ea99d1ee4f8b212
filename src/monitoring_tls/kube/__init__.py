"""Access to the Kubernetes API: requests, watch-fed stores, a work queue, the Lease, events.

Objects are plain JSON (`dict`), addressed by path. lightkube supplies the configuration, the authentication and the
transport; its typed models are not used, because they would be held in memory beside what the operator keeps, and
because they do not decode a watch's BOOKMARK events.
"""
