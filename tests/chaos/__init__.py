"""Chaos: workers are killed, stopped, locked out and fed poison, and an outside witness counts what arrived.

``python -m tests.chaos`` runs it. Nothing of it is in the package: fail points are put around named verbs, in
processes that live for one fault.
"""
