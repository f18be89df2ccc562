"""What is checked: the way to a running notebook, and BinderHub."""
