"""`make bench`: the goals of speed, each measured beside its peer in one run."""
