"""The name of EGI's hub package; configuration still imports from it."""
