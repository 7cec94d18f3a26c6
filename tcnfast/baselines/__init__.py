"""What the network is compared with."""
