"""Stand-ins for the ARGO Messaging Service and its certificate authority, for demo and tests."""
