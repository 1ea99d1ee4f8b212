"""What is known, put for people and for programs: the status of ``MonitoringTLS/cluster``, the status screen."""
