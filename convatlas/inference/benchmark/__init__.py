"""Time networks on this machine against their peers: alternating, in processes of their own, shares of the ceiling."""
