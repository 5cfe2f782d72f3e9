"""A small OpenAI-compatible server on this machine that plays a judge: good, malformed, slow, failing, limiting."""

import json
import re
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class JudgeServer:
    """Answers by `answer(prompt text)`; faults are drawn from the content, so that every run meets the same ones.

    Attributes:
        paid: content of a call → how often it was answered.
        after_answer: called with the number of answers so far, after each.
    """

    def __init__(self, answer, *, failing=0.0, limiting=0.0, malformed=0.0, slow=0.0, refuse=None):
        self.answer, self.refuse = answer, refuse
        self.failing, self.limiting, self.malformed, self.slow = failing, limiting, malformed, slow
        self.paid, self.tried, self.seen = Counter(), Counter(), []
        self.at_once, self.most_at_once = 0, 0
        self.after_answer = lambda number: None
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def reply_to(self, body, headers):
        """Return status, headers and JSON of the answer to a call."""
        content = json.dumps(body["messages"], ensure_ascii=False)
        with self.lock:
            self.tried[content] += 1
            tried = self.tried[content]
            self.seen.append((body, headers))
        if self.refuse and (refusal := self.refuse(body, headers)):
            return refusal, {}, {"error": {"message": f"refused: {headers.get('Authorization')}"}}
        if tried == 1 and draw(content, "failing") < self.failing:
            return 500, {"retry-after-ms": "5"}, {"error": {"message": "out of order"}}
        if tried == 1 and draw(content, "limiting") < self.limiting:
            return 429, {"retry-after-ms": "5"}, {"error": {"message": "too many"}}
        time.sleep(self.slow * draw(content, "slow"))
        text = self.answer(body["messages"][0]["content"])
        if len(body["messages"]) == 1 and draw(content, "malformed") < self.malformed:
            text = "我认为 A 更好。"
        return 200, {}, completion(text, content)

    def _handler(server):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                status, headers, found = server.reply_to(body, self.headers)
                with server.lock:
                    server.at_once -= 1
                    if status == 200:
                        server.paid[json.dumps(body["messages"], ensure_ascii=False)] += 1
                    number = server.paid.total()
                data = json.dumps(found).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
                if status == 200:
                    server.after_answer(number)

            def log_message(self, *_):
                pass

        return Handler


def draw(content, purpose):
    """A number from 0 to 1 that the content decides."""
    return zlib.crc32(f"{purpose} {content}".encode()) / 2**32


def completion(text, content):
    """A chat completion as servers send it."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "judge",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": len(content), "completion_tokens": len(text), "total_tokens": 1},
    }


def shown(prompt, label):
    """The text that a prompt shows behind a label."""
    return json.loads(re.search(rf"^{label}：(.*)$", prompt, re.M).group(1))


def honest_choice(prompt):
    """Prefers the answer with the larger sum of code points, whatever its place; a fair judge with a taste."""
    values = [sum(map(ord, shown(prompt, f"下联 {side}"))) for side in "AB"]
    winner = "tie" if values[0] == values[1] else "A" if values[0] > values[1] else "B"
    return json.dumps({"reason": "字大", "winner": winner}, ensure_ascii=False)
