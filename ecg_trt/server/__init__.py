"""Web server: a page on which photos are read and corrected, and REST beside it (extra ``web``).

::

    browser, curl ─ guard ─ app ─ service ─ dispatcher ─ processes that decode and digitize
                                     └ store: records, and their files below one temporary folder
"""
