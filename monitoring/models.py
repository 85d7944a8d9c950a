"""Samples and alerts come with the watching; today the monitor's heartbeat is a jobs.Lease."""
