"""Take personal data out of a request before the model sees it, and put it back into the answer.

`handlings.py` prepares the plan's rules, `request.py` handles what is found, `persons.py` knows who is who,
`placeholders.py` puts values back, whole or streaming. Nothing is kept between requests: the same history gives the
same placeholders again.

Nothing is imported here: the checks of a plan need the rules only, and every process reads a plan at its start.
"""
