#!/usr/bin/env python3
"""A connector for Leadwire in Python's standard library: contacts, and a note on each, in "Acme CRM".

It reads requests from standard input and answers on standard output, one line of JSON each. What is meant for people goes to
standard error. Copy it, and change the parts below the ruler to what your CRM wants.
"""
import http.client, json, os, sys
from urllib.parse import quote, urlsplit

URL, TOKEN = os.environ["ACME_URL"].rstrip("/"), os.environ["ACME_TOKEN"]
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


class Failed(Exception):
    def __init__(self, verdict, kind, message, **more):
        self.answer = {"type": "error", "verdict": verdict, "kind": kind, "message": message, **more}


def say(line):
    print(json.dumps(line), flush=True)  # json.dumps makes one line of it, flush sends it at once


def keep(request, name, remote_id=None):
    """Has Leadwire remember a step for good. A connector with `concurrency` above 1 must match the ids of the lines it reads here."""
    say({"type": "step", "id": request["id"], "name": name, "remote_id": remote_id})
    if not sys.stdin.readline():
        sys.exit("the bridge is gone")


def main():
    for line in sys.stdin:
        request = json.loads(line)
        if request["type"] == "hello":
            say({"type": "hello", "protocol": 1, "name": "acme", "version": "1.0", "capabilities": ["check", "preview"]})
            continue
        try:
            answer = {"deliver": deliver, "check": check, "preview": preview}[request["type"]](request)
        except Failed as failed:
            answer = failed.answer
        say({**answer, "id": request["id"]})


# -------------------------------------------------------------------------------------------------------------------------


def call(method, path, body=None):
    """One request, with a time limit and without redirects: what the CRM says, or Failed with the verdict that it means."""
    where = urlsplit(URL)
    client = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = client(where.netloc, timeout=10)
    try:
        connection.connect()
    except OSError:  # nothing was sent
        raise Failed("retry", "unreachable", "Acme cannot be reached")
    try:
        connection.request(method, where.path + path, json.dumps(body) if body else None, HEADERS)
        answer = connection.getresponse()
        text = answer.read(1_000_000)
    except (OSError, http.client.HTTPException):  # Acme may have it
        raise Failed("retry", "ambiguous", "Acme's answer got lost")
    finally:
        connection.close()
    told = {"status": answer.status, "after": answer.getheader("Retry-After")}
    if answer.status in (401, 403):
        raise Failed("hold", "credentials", "Acme refuses the token; see ACME_TOKEN", **told)
    if 300 <= answer.status < 400:
        raise Failed("hold", "configuration", "Acme redirects; see ACME_URL", **told)
    if answer.status == 429 or answer.status >= 500:
        raise Failed("retry", "rate_limited" if answer.status == 429 else "server", "Acme has no time for it", **told)
    try:
        value = json.loads(text)
    except ValueError:
        raise Failed("retry", "unexpected", "Acme's answer is no JSON", **told)
    if answer.status >= 400:
        raise Failed("reject", "data", "Acme refuses the data", field=value.get("field"), **told)
    if "error" in value:  # a 2xx is no success until the body says so
        raise Failed("retry", "unexpected", "Acme's answer holds an error", **told)
    return value


def contact_of(event):
    """Where the contact stands and what it says. Nothing empty is sent: it would erase what the CRM knows."""
    fields = {**event["person"], "source": event["source"]}
    email = fields.pop("email")
    return email and "/contacts/" + quote(email, safe=""), {name: value for name, value in fields.items() if value}


def deliver(request):
    event, done, delivery = request["event"], request["steps"], request["delivery_id"]
    path, fields = contact_of(event)
    if not path:
        return {"type": "skipped", "reason": "Acme knows people by their e-mail, and there is none"}
    contact = call("PUT", path, fields)["id"]  # Acme updates a contact that it knows: repeating it is harmless
    if event["content"] and "note" not in done:
        # A note has no key of its own. Where an earlier attempt may have sent it, look before sending it again.
        known = call("GET", f"/contacts/{contact}/notes")["notes"] if "note.sent" in done else []
        note = next((note["id"] for note in known if note["delivery"] == delivery), None)
        if note is None:
            keep(request, "note.sent")
            note = call("POST", f"/contacts/{contact}/notes", {"text": event["content"], "delivery": delivery})["id"]
        keep(request, "note", note)
    return {"type": "delivered", "record": {"id": contact, "url": f"{URL}/contacts/{contact}"}}


def check(request):
    account = call("GET", "/account")["name"]
    return {"type": "report", "findings": [{"severity": "good", "subject": "credentials", "message": f"the token is valid for {account}"}]}


def preview(request):
    path, fields = contact_of(request["event"])
    put = {"step": "contact", "method": "PUT", "url": f"{URL}{path}", "headers": HEADERS, "body": fields}
    body = {"text": request["event"]["content"], "delivery": "(id of the delivery)"}
    note = {"step": "note", "method": "POST", "url": f"{URL}/contacts/(id of the contact)/notes", "headers": HEADERS, "body": body}
    return {"type": "preview", "requests": ([put, note] if body["text"] else [put]) if path else []}


if __name__ == "__main__":
    main()
