"""`make bench`: how fast the app is, what a row costs, and what binds it; ends with tables and the judge's verdict.

    __main__.py   the run and its verdict
    cases.py      what happens in each case
    running.py    a world with several hosts; one case from its first notification until no message is left
    result.py     what a case has shown
    limits.py     what Graph, Acumatica and Azurite allow beside it
    table.py      the tables, and their place in the documentation; targets.py is what is to be reached
    options.py    the command line

The app runs in its host, with Azurite as storage. Azurite's access log counts the operations of storage, the fakes count
the calls, and stamp when each took effect. All numbers are of this machine; the ratios travel better.
"""
