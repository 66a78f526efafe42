"""The page at `/`: what this is, and where things are. No script; its style is allowed by its hash."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .5rem 0; } a { color: light-dark(#0b5cad, #7ab8ff); }
table { border-collapse: collapse; width: 100%; } td { vertical-align: top; padding: .4rem .75rem .4rem 0; }
tr + tr td { border-top: 1px solid light-dark(#ddd, #444); } td:first-child { white-space: nowrap; }
pre { background: light-dark(#f4f4f4, #222); padding: .75rem 1rem; border-radius: .4rem; overflow-x: auto; }
pre { font-size: .8rem; }
.internal { color: light-dark(#777, #999); }
"""
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
EXAMPLE = """curl -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
  -d '{"source": "file:///photo.jpg", "renditions": [{"name": "thumb", "width": 200}]}' \\
  http://this-host/events/image.requested"""


def home_page(listed: Sequence[dict[str, Any]]) -> str:
    """The page.

    Args:
        listed: The event types, as `GET /schemas` lists them.
    """
    rows = "\n".join(
        f'<tr{" class=internal" if each["internal"] else ""}><td><a href="{escape(each["schema"])}">'
        f"{escape(each['type'])}</a></td><td>{escape(each['doc'] or '')}</td></tr>"
        for each in sorted(listed, key=lambda each: (each["internal"], each["type"]))
    )
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Tidemill gateway</title>
<style>{STYLE}</style></head>
<body>
<h1>Tidemill gateway</h1>
<p>Publishes events to Kafka. An answer 202 means that Kafka has the event.</p>
<pre>{escape(EXAMPLE)}</pre>
<h2>Where things are</h2>
<table>
<tr><td><code>POST /events/{{type}}</code></td><td>one event, or lines of them (NDJSON)</td></tr>
<tr><td><code>POST /events</code></td><td>CloudEvents, batches of them, lines that name their type</td></tr>
<tr><td><code>POST /uploads</code></td><td>a file for the object store, and the event that asks for work on it</td></tr>
<tr><td><code>GET /jobs/{{id}}</code></td><td>where a job is; <code>/jobs/{{id}}/events</code> follows it</td></tr>
<tr><td><a href="/schemas">/schemas</a></td><td>the event types</td></tr>
<tr><td><a href="/openapi.json">/openapi.json</a></td><td>all of it, for programs</td></tr>
<tr><td><a href="/readyz">/readyz</a></td><td>whether it can take events now</td></tr>
</table>
<h2>Event types</h2>
<table>
{rows}
</table>
<p class="internal">Grey: internal types, which only a token that names them may publish.</p>
</body>
</html>
"""
