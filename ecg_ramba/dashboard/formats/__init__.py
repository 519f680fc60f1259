"""Files as they are uploaded, one module a format: each gives a :class:`~.reading.Reading` or a sentence why not.

None of them runs code that a file holds, and all of them run in a process of their own with limits
(:mod:`ecg_ramba.dashboard.limited`).
"""
