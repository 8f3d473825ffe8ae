"""The faults, one function each; every one is a story that ends with a row of the table."""
