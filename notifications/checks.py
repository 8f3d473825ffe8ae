"""System checks: misconfiguration is told before it is met, with a hint."""


def register_checks() -> None: ...
