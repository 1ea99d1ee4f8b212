"""``python -m monitoring_tls``: the same as the command ``monitoring-tls``."""

from monitoring_tls.cli import main

main()
