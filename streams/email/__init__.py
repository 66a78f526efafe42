"""The e-mail stream: asks for mails come in, mails go to an SMTP server, and what became of each goes out.

From a request to the mail's bytes is computing (`message.py` is the entrance); the words of SMTP and what they mean are
computing, too (`replies.py`). `connection.py` and `pool.py` talk to servers, `delivery.py` decides who gets a mail and
how often. Only `handler.py`, `jobs.py` and `command.py` may know about streams, topics and terminals.
"""
