"""Every operation, one file a family, one block an operation: rules, forward, docstring, domain and cases."""
