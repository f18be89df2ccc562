"""What kube-state-metrics and the kubelets say of the simulated cluster."""
