"""The notification stream: asks to tell somebody something come in, push messages, texts and webhooks go out.

What is to be said and when is computing (`request.py`, `quiet.py`, `timing.py`, `content.py`). `directory.py` knows who
is reached how, `waiting.py` what goes later; both are tables. `web_push.py`, `webhook.py` and `messenger.py` talk to
one kind of receiver each, `delivery.py` goes through a recipient's channels. Only `handler.py`, `jobs.py` and
`command.py` may know about streams, topics and terminals. No secret of an address may get into an event, a log or an
error.
"""
