#!/usr/bin/env python3
"""A connector for Leadwire in Python's standard library: contacts, and a note on each, in "Acme CRM".

It reads requests from standard input and answers on standard output, one line of JSON each. What is meant for people goes to
standard error. Copy it, and change what stands between the two rulers to what your CRM wants.
"""
import http.client
import json
import os
import sys
from urllib.parse import quote, urlsplit

URL, TOKEN = os.environ["ACME_URL"], os.environ["ACME_TOKEN"]


def say(line):
    print(json.dumps(line), flush=True)  # json.dumps makes one line of it, flush sends it at once


class Failed(Exception):
    def __init__(self, verdict, **more):
        self.answer = {"type": "error", "verdict": verdict, **more}


def call(method, path, body=None):
    """One request, without redirects and with a time limit; JSON, or Failed with the verdict that the answer means."""
    where = urlsplit(URL)
    secure = where.scheme == "https"
    connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(where.netloc, timeout=10)
    try:
        connection.connect()
    except OSError:  # nothing was sent
        raise Failed("retry", kind="unreachable", message="Acme cannot be reached") from None
    try:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request(method, where.path.rstrip("/") + path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read(1_000_000)
    except (OSError, http.client.HTTPException):  # it may have arrived
        raise Failed("retry", kind="ambiguous", message="Acme's answer got lost") from None
    finally:
        connection.close()
    status, after = answer.status, answer.getheader("Retry-After")
    if status in (401, 403):
        raise Failed("hold", kind="credentials", status=status, message="Acme refuses the token; see ACME_TOKEN")
    if 300 <= status < 400:
        raise Failed("hold", kind="configuration", status=status, message="Acme redirects; see ACME_URL")
    if status == 429:
        raise Failed("retry", kind="rate_limited", status=status, after=after, message="Acme asks for a pause")
    if status >= 500:
        raise Failed("retry", kind="server", status=status, after=after, message="Acme is down")
    try:
        value = json.loads(text)
    except ValueError:
        raise Failed("retry", kind="unexpected", status=status, message="Acme's answer is no JSON") from None
    if status >= 400:
        raise Failed("reject", kind="data", status=status, field=value.get("field"), message="Acme refuses the data")
    if "error" in value:  # a 2xx is no success until the body says so
        raise Failed("retry", kind="unexpected", status=status, message="Acme's answer holds an error")
    return value


# ---------------------------------------------------------------------------------------------------------------------------------


def contact_of(event):
    person = event["person"]
    fields = {"first_name": person["first_name"], "last_name": person["last_name"], "phone": person["phone"], "source": event["source"]}
    return {name: value for name, value in fields.items() if value}  # an empty value would erase what the CRM knows


def path_of(event):
    return "/contacts/" + quote(event["person"]["email"], safe="")


def deliver(request):
    event, done = request["event"], request["steps"]
    if not event["person"]["email"]:
        return {"type": "skipped", "reason": "Acme knows people by their e-mail, and there is none"}
    contact = call("PUT", path_of(event), contact_of(event))["id"]  # an upsert: repeating it is harmless
    if event["content"] and "note" not in done:
        # A note has no key of its own. If an earlier attempt may have sent it, look before sending it again.
        notes = call("GET", f"/contacts/{contact}/notes")["notes"] if "note.sent" in done else []
        note = next((note["id"] for note in notes if note["delivery"] == request["delivery_id"]), None)
        if note is None:
            keep(request, "note.sent")
            note = call("POST", f"/contacts/{contact}/notes", {"text": event["content"], "delivery": request["delivery_id"]})["id"]
        keep(request, "note", note)
    return {"type": "delivered", "record": {"id": contact, "url": f"{URL.rstrip('/')}/contacts/{contact}"}}


def check(request):
    account = call("GET", "/account")["name"]
    return {"type": "report", "findings": [{"severity": "good", "subject": "credentials", "message": f"the token is valid for {account}"}]}


def preview(request):
    event = request["event"]
    if not event["person"]["email"]:
        return {"type": "skipped", "reason": "there is no e-mail"}
    headers = {"Authorization": f"Bearer {TOKEN}"}  # Leadwire masks it
    put = {"step": "contact", "method": "PUT", "url": URL.rstrip("/") + path_of(event), "headers": headers, "body": contact_of(event)}
    url = URL.rstrip("/") + "/contacts/(id of the contact)/notes"
    note = {"step": "note", "method": "POST", "url": url, "headers": headers, "body": {"text": event["content"], "delivery": "(id of the delivery)"}}
    return {"type": "preview", "requests": [put, note] if event["content"] else [put]}


# ---------------------------------------------------------------------------------------------------------------------------------


def keep(request, name, remote_id=None):
    """Has Leadwire remember a finished step for good, and goes on when that is done."""
    say({"type": "step", "id": request["id"], "name": name, "remote_id": remote_id})
    if json.loads(sys.stdin.readline() or "{}").get("type") != "kept":  # with several requests at once, match the ids here
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


if __name__ == "__main__":
    main()
