"""The pure core: ``plan(snapshot, desired, now)`` says what to do next, and touches nothing."""
