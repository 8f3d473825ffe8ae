"""The preference centre: the pages on which users choose what they get, where and when."""
