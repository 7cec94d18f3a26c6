"""The parts of a scan: calls, tracks, and the job that writes them."""
