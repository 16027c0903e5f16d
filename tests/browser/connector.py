"""A program that is a destination, of a CRM that is not well-meant: what it answers is hostile."""
import json
import sys

HOSTILE = "<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=2>"
RECORDS = [
    {"id": HOSTILE, "url": "javascript:window.pwned=3"},
    {"id": "record", "url": "https://crm.example.com/\"><script>window.pwned=4</script>"},
]

for number, line in enumerate(sys.stdin):
    request = json.loads(line)
    if request["type"] == "hello":
        answer = {"type": "hello", "protocol": 1, "name": "hostile", "version": "1.0", "capabilities": ["check", "preview"]}
    elif request["type"] == "check":
        answer = {"type": "report", "findings": [{"severity": "bad", "subject": HOSTILE, "message": HOSTILE, "remedy": HOSTILE}]}
    elif request["type"] == "preview":
        shown = {"step": HOSTILE, "method": "POST", "url": "https://crm.example.com/<b>", "headers": {"X-Odd": HOSTILE}, "body": {HOSTILE: HOSTILE}}
        answer = {"type": "preview", "requests": [shown]}
    elif number % 3 == 0:
        answer = {"type": "error", "verdict": "reject", "kind": "data", "message": HOSTILE, "excerpt": HOSTILE}
    else:
        answer = {"type": "delivered", "record": RECORDS[number % 2], "remark": HOSTILE}
    if "id" in request:
        answer["id"] = request["id"]
    print(json.dumps(answer), flush=True)
