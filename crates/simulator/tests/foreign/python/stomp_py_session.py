"""stomp.py against the simulated broker: `stomp_py_session.py WAY PORT`.

A line on standard output asks the test for something: `publish BODY`, `freeze`, `kick`, `settled READY UNACKED`.
`settled` is answered by a line on standard input. The last line is `done`.
"""

import queue
import sys

import stomp

VHOST, LOGIN, PASSCODE, DESTINATION = "vhost", "foreign", "secret", "/amq/queue/events"
WAY, PORT = sys.argv[1], int(sys.argv[2])
PATIENCE = 30


class Listener(stomp.ConnectionListener):
    def __init__(self):
        self.seen = queue.Queue()

    def on_message(self, frame):
        self.seen.put(("message", frame))

    def on_error(self, frame):
        self.seen.put(("error", frame))

    def on_receipt(self, frame):
        self.seen.put(("receipt", frame))

    def on_disconnected(self):
        self.seen.put(("disconnected", None))

    def on_heartbeat_timeout(self):
        self.seen.put(("heart-beat lost", None))

    def next(self, kind):
        found, frame = self.seen.get(timeout=PATIENCE)
        assert found == kind, f"{found} in place of {kind}: {frame and (frame.headers, frame.body)}"
        return frame

    def message(self, body, redelivered):
        frame = self.next("message")
        assert frame.body == body, frame.body
        assert frame.headers["redelivered"] == redelivered, frame.headers
        assert frame.headers["destination"] == "/queue/events", frame.headers
        assert frame.headers["content-type"] == "application/json", frame.headers
        return frame.headers["ack"]


def ask(line):
    print(line, flush=True)


def settled(ready, unacked):
    ask(f"settled {ready} {unacked}")
    assert sys.stdin.readline() == "yes\n"


def connection(heartbeats=(0, 0)):
    hosts = [("127.0.0.1", PORT)]
    options = {"vhost": VHOST, "heartbeats": heartbeats, "reconnect_attempts_max": 1}
    if WAY == "web":
        made = stomp.WSStompConnection(hosts, ws_path="/rmqws-stomp", **options)
    else:
        made = stomp.StompConnection12(hosts, **options)
    listener = Listener()
    made.set_listener("", listener)
    return made, listener


def connected(**options):
    made, listener = connection(**options)
    made.connect(LOGIN, PASSCODE, wait=True)
    made.subscribe(
        DESTINATION, id="events", ack="client-individual", headers={"prefetch-count": "10", "receipt": "subscribed"}
    )
    assert listener.next("receipt").headers["receipt-id"] == "subscribed"
    return made, listener


def wrong_password():
    made, listener = connection()
    try:
        made.connect(LOGIN, "wrong", wait=True)
    except stomp.exception.ConnectFailedException:
        pass
    else:
        raise AssertionError("let in with a wrong passcode")
    error = listener.next("error")
    assert error.headers["message"] == "Bad CONNECT", error.headers
    assert error.body.startswith(f"Access refused for user '{LOGIN}'"), error.body


def acknowledge_and_give_back():
    made, listener = connected()
    ask("publish one")
    ack = listener.message("one", "false")
    settled(0, 1)
    made.ack(ack)
    settled(0, 0)
    ask("publish two")
    made.nack(listener.message("two", "false"))
    listener.message("two", "true")
    # Not acknowledged: it is there for the next connection.
    made.disconnect(receipt=None)
    listener.next("disconnected")
    made, listener = connected()
    made.ack(listener.message("two", "true"))
    settled(0, 0)
    made.disconnect(receipt=None)


def heart_beats():
    made, listener = connected(heartbeats=(500, 500))
    try:
        unexpected = listener.seen.get(timeout=2)
        raise AssertionError(f"{unexpected} on an idle connection")
    except queue.Empty:
        pass
    ask("publish still here")
    made.ack(listener.message("still here", "false"))
    settled(0, 0)
    ask("freeze")
    # stomp.py ends the connection because of it, and may say so before, also twice.
    seen = "disconnected"
    while seen == "disconnected":
        seen, _ = listener.seen.get(timeout=PATIENCE)
    assert seen == "heart-beat lost", seen
    ask("thaw")


def closed_by_the_broker():
    _, listener = connected()
    ask("kick")
    if WAY != "web":
        error = listener.next("error")
        assert error.headers["message"] == "AMQP channel died", error.headers
    listener.next("disconnected")


wrong_password()
acknowledge_and_give_back()
closed_by_the_broker()
heart_beats()
ask("done")
