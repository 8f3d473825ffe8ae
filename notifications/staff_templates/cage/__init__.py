"""The cage: a child process that compiles and renders templates that Klaxon must not trust.

``lockdown.py`` and ``child.py`` run in the child and import neither Django nor any other part of Klaxon. The other
modules run in the worker or web process, and read nothing from the child but JSON of a limited size.

This package imports nothing, so that the child does not either.
"""
