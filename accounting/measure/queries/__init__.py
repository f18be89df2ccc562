"""What a window asks of each subject, and what the answers say."""
