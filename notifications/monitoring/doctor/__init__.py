"""The doctor: examines a site from its settings to its providers, and says what to do about each fault.

It is the command ``notifications_doctor``. ``examinations.py`` has the list, and the other modules have the
examinations of one area each.
"""
