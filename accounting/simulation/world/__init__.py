"""What happens in the simulated cluster: pods, people, nodes, and what goes wrong."""
