"""A mailbox for development: a mail server on 127.0.0.1 that delivers to a folder, and a page that shows what came.

`python -m tidemill.mailbox` runs it, and `tidemill up` does. Here lives what receives, keeps, reads and shows mails;
nothing here knows of Kafka or of the local stack. Needs aiosmtpd and Jinja2, which come with the extra `local`.
"""
