"""The fields and widgets for preferences, for the preference centre and for the admin. They show no JSON."""
