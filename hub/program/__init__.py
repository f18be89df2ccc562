"""What the programs of this package share: settings, errors, the command around them."""
