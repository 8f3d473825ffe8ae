"""What ``explain()`` and ``why()`` answer."""
