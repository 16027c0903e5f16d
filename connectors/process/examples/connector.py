#!/usr/bin/env python3
"""A connector for Leadwire in Python's standard library: contacts, and a note on each, in "Acme CRM".

It reads requests from standard input and answers on standard output, one line of JSON each. What is meant for people goes to
standard error. Copy it, and change the parts below the ruler to what your CRM wants.
"""
import http.client, json, os, sys, traceback
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
        except Exception as error:  # one odd event or answer must not end the connector; the places go to the log, the values do not
            traceback.print_tb(error.__traceback__)
            answer = Failed("retry", "unexpected", f"the connector failed with {type(error).__name__}; see its standard error").answer
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
    except (ValueError, RecursionError):
        value = None
    if answer.status >= 400:
        field = value.get("field") if isinstance(value, dict) else None
        raise Failed("reject", "data", "Acme refuses the data", field=field if isinstance(field, str) else None, **told)
    if not isinstance(value, dict) or "error" in value:  # a 2xx is no success until the body says so
        raise Failed("retry", "unexpected", "Acme's answer is no JSON object, or holds an error", **told)
    return value


def part(value, name, kind=str):
    """What an answer must hold."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise Failed("retry", "unexpected", f"Acme answered with success, but without `{name}`")
    return found


def note_of(event):
    """What the contact has no field for: the remark, the form's own fields, and what was said."""
    lines = [event["content"]] if event["content"] else []
    lines += [f"{name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in event["extra"].items() if value]
    lines += [f"{message['author']}: {message['text']}" for message in event.get("messages", [])]
    return "\n".join(lines)


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
    contact = part(call("PUT", path, fields), "id")  # Acme updates a contact that it knows: repeating it is harmless
    text = note_of(event)
    if text and "note" not in done:
        # A note has no key of its own. Where an earlier attempt may have sent it, look before sending it again.
        known = part(call("GET", f"/contacts/{contact}/notes"), "notes", list) if "note.sent" in done else []
        note = next((part(note, "id") for note in known if isinstance(note, dict) and note.get("delivery") == delivery), None)
        if note is None:
            keep(request, "note.sent")
            note = part(call("POST", f"/contacts/{contact}/notes", {"text": text, "delivery": delivery}), "id")
        keep(request, "note", note)
    return {"type": "delivered", "record": {"id": contact, "url": f"{URL}/contacts/{contact}"}}


def check(request):
    account = part(call("GET", "/account"), "name")
    return {"type": "report", "findings": [{"severity": "good", "subject": "credentials", "message": f"the token is valid for {account}"}]}


def preview(request):
    path, fields = contact_of(request["event"])
    put = {"step": "contact", "method": "PUT", "url": f"{URL}{path}", "headers": HEADERS, "body": fields}
    body = {"text": note_of(request["event"]), "delivery": "(id of the delivery)"}
    note = {"step": "note", "method": "POST", "url": f"{URL}/contacts/(id of the contact)/notes", "headers": HEADERS, "body": body}
    return {"type": "preview", "requests": ([put, note] if body["text"] else [put]) if path else []}


if __name__ == "__main__":
    main()
