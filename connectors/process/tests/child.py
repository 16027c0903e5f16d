"""A child that misbehaves to order: the first argument says how. Python's standard library only."""
import json
import os
import signal
import subprocess
import sys
import time

HOW = sys.argv[1]
FOLDER = sys.argv[2] if len(sys.argv) > 2 else None


def say(line):
    print(line if isinstance(line, str) else json.dumps(line), flush=True)


def note(name, text):
    """Leaves a line in a file, for the test to see."""
    with open(os.path.join(FOLDER, name), "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def hello(**more):
    sys.stdin.readline()
    if FOLDER:
        note("starts", os.getpid())
    say({"type": "hello", "protocol": 1, "name": "tester", **more})


def requests():
    for line in sys.stdin:
        yield json.loads(line)


def delivered(request, **more):
    say({"type": "delivered", "id": request["id"], **more})


def first_start():
    with open(os.path.join(FOLDER, "starts"), encoding="utf-8") as file:
        return len(file.readlines()) == 1


def good():
    hello()
    for request in requests():
        note("events", json.dumps(request))
        delivered(request, record={"id": request["delivery_id"]})


def environment():
    hello()
    for request in requests():
        told = {"env": dict(os.environ), "cwd": os.getcwd(), "files": files(), "group": os.getpgid(0) == os.getpid()}
        note("told", json.dumps(told))
        delivered(request)


def files():
    """What is open, where the system says so."""
    try:
        return [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{number}")]
    except FileNotFoundError:
        return []


def crash():
    """Takes a request, does its work, and dies before it answers; the next one lives."""
    hello()
    for request in requests():
        note("events", request["delivery_id"])
        if first_start():
            print("Traceback: the token is hunter22-secret", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        delivered(request)


def garbage():
    hello()
    for request in requests():
        if first_start():
            say("Connecting to david@example.com ...")
        delivered(request)


def huge():
    hello()
    for request in requests():
        if first_start():
            sys.stdout.write("x" * 3_000_000)
            sys.stdout.flush()
        delivered(request)


def slow():
    """Takes two at once, never answers the first, and everything else at once."""
    hello(concurrency=2)
    for number, request in enumerate(requests()):
        if number > 0 or not first_start():
            delivered(request)


def stuck():
    hello()
    for request in requests():
        if first_start():
            time.sleep(600)
        delivered(request)


def hang():
    note("starts", os.getpid())
    time.sleep(600)


def version():
    sys.stdin.readline()
    say({"type": "hello", "protocol": 2, "name": "tester"})
    time.sleep(600)


def flood():
    hello()
    for request in requests():
        for _ in range(2_000):
            print("x" * 5_000, file=sys.stderr)
        delivered(request)


def reorder():
    """Waits for three requests, then answers them last to first."""
    hello(concurrency=3)
    waiting = []
    for request in requests():
        waiting.append(request)
        if len(waiting) == 3:
            for request in reversed(waiting):
                delivered(request, record=request["delivery_id"])
            waiting = []


def once():
    """Exits after each request, and has said so."""
    hello(requests=1)
    delivered(next(requests()))


def leave():
    """Exits after each request, and has not said so."""
    hello()
    delivered(next(requests()))


def deaf():
    """Says hello and reads nothing more."""
    hello(concurrency=4)
    time.sleep(600)


def stubborn():
    """Wants to live for ever, with a child of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hello()
    if os.fork() == 0:
        note("starts", os.getpid())
        time.sleep(600)
    for request in requests():
        delivered(request)
    time.sleep(600)


def steps():
    """A contact and a note; dies between the two in its first life."""
    hello()
    for request in requests():
        note("requests", json.dumps([request["attempt"], request["steps"]]))
        if "contact" not in request["steps"]:
            say({"type": "step", "id": request["id"], "name": "contact", "remote_id": 101})
            note("kept", sys.stdin.readline().strip())
            os._exit(3)
        delivered(request, record=request["steps"]["contact"])


def hasty():
    """Keeps steps without waiting for anything."""
    hello()
    for request in requests():
        if first_start():
            for number in range(200):
                say({"type": "step", "id": request["id"], "name": f"n{number}"})
        delivered(request)


def kill_guard():
    """Kills the shell in this group that would end it with the bridge."""
    shown = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,args="], capture_output=True, text=True, check=True).stdout
    for line in shown.splitlines():
        pid, group, arguments = line.split(None, 2)
        if int(group) == os.getpgid(0) and "leadwire-guard" in arguments:
            os.kill(int(pid), signal.SIGKILL)
            note("guards", pid)


def unguarded():
    """Loses its guard in the middle of its first request, with a child of its own."""
    hello()
    for request in requests():
        if first_start():
            forked = os.fork()
            if forked == 0:
                time.sleep(600)
            note("forked", forked)
            kill_guard()
            time.sleep(600)
        delivered(request)


def unable():
    sys.exit("no module for hunter22-secret")


def traitor():
    """Kills its guard when it is to end, and stays."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hello()
    for request in requests():
        delivered(request)
    kill_guard()
    time.sleep(600)


globals()[HOW]()
