"""What the authenticators know of OpenID Connect: discovery, keys, tokens, claims."""
