"""X.509 without a cluster: keys, certificates, a trust domain's life in steps, checks. Pure but for key generation."""
