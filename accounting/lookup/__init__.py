"""What the API and the pages show, read for a viewer: each query carries their restriction."""
