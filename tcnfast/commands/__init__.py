"""One file a command: its flags, and the call they end in. Heavy imports wait for the call."""
