"""The service handbook and its cases."""
