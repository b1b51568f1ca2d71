"""The runs page, at /api/runs: what happened, why it failed, running it again. RUNS_KEY opens it.

routes.py   addresses, and the view of each
page.py     a request on its way: access, the forms' tokens, what goes wrong
looking.py, finding.py, acting.py   the views: functions from a request to a response
access.py, throttle.py   who may see the page; tries to give its key
render.py   templates, with the security headers of every response
"""
