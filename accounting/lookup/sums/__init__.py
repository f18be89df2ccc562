"""What was used, added up: what can be asked, how it is summed, what of it went out."""
