"""The loop that joins everything: observe, plan, act, verify, report."""
