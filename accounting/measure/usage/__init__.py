"""From samples to what each pod used: the measuring rules (M). Pure."""
