"""The REST API's paths, one module for each subject."""
