"""Load on Darkroom, and an account of what its sockets told."""
