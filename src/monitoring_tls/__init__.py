"""monitoring-tls-operator: one TLS profile and one certificate life cycle for a monitoring stack."""
