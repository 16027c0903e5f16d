#!/usr/bin/env python3
"""An endpoint for Leadwire in Python's standard library: takes events from `type = "json"` and answers with a verdict of its own.

Run it with BACKEND_SECRET=whsec_… PORT=8090, and let `url` be http://127.0.0.1:8090/. One thread: run as many as you like.
"""
import base64, hashlib, hmac, json, os, time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = base64.b64decode(os.environ["BACKEND_SECRET"].removeprefix("whsec_"))
TAKEN = {}  # deliveries and their records; yours belongs into a database, written together with the lead


class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        delivery, sent_at = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        mac = hmac.new(KEY, f"{delivery}.{sent_at}.".encode() + body, hashlib.sha256)
        expected = "v1," + base64.b64encode(mac.digest()).decode()
        signed = any(hmac.compare_digest(expected, given) for given in (self.headers["webhook-signature"] or "").split(" "))
        if not signed or abs(time.time() - int(sent_at)) > 300:
            return self.answer(401, {"verdict": "hold", "message": "the signature is wrong: see `secret` and BACKEND_SECRET"})
        if delivery not in TAKEN:  # an answer may get lost: the same delivery comes again, and is answered with success
            event = json.loads(body)["data"]
            if not event["person"]["email"]:
                return self.answer(422, {"verdict": "reject", "message": "a lead needs an e-mail"})
            if os.path.exists("closed"):  # such as: the CRM is down for the night
                return self.answer(503, {"verdict": "retry", "after": 600, "message": "closed until later"})
            TAKEN[delivery] = f"lead-{len(TAKEN) + 1}"
        self.answer(200, {"id": TAKEN[delivery]})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8090"))), Endpoint)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
