"""The commands of ``python -m service``, one module each: what it takes, how it explains itself, and how it is run.

They import what is heavy when they are run, so that ``--help`` and a mistake cost no second.
"""
