"""What is true of the simulated cluster, and what the receiver must hold."""
