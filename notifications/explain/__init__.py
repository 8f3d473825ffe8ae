"""The features behind ``explain()`` and ``why()``."""
