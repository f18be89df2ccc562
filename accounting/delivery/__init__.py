"""From due records to delivered messages: outbox, batches, pusher, what the receiver holds."""
