"""A real embedding model behind OpenAI's API: all-MiniLM-L6-v2, its layers spelled out, so that nothing but numpy runs it.

    python server.py FOLDER    with the model's model.zip: prints its port, and serves POST /v1/embeddings until its standard input ends
"""

import json
import os
import sys
import threading
import zipfile
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import erf

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from safetensors.numpy import load  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

LAYERS, HEADS, WIDTH, LONGEST = 6, 12, 384, 256
erf_of_each = np.vectorize(erf, otypes=[np.float32])


class MiniLM:
    def __init__(self, folder):
        with zipfile.ZipFile(os.path.join(folder, "model.zip")) as files:
            read = {os.path.basename(name): files.read(name) for name in files.namelist() if name.endswith(("tokenizer.json", "model.safetensors"))}
        self.weights = load(read["model.safetensors"])
        self.tokenizer = Tokenizer.from_str(read["tokenizer.json"].decode())
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.no_padding()

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    @lru_cache(maxsize=10_000)
    def known(self, text):
        ids = self.tokenizer.encode(text).ids
        return len(ids), self.embed(ids)

    def embed(self, ids):
        w, count = self.weights, len(ids)
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:count] + w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm(x, "embeddings.LayerNorm")
        for layer in (f"encoder.layer.{at}." for at in range(LAYERS)):
            q, k, v = (self.linear(x, f"{layer}attention.self.{name}").reshape(count, HEADS, WIDTH // HEADS).transpose(1, 0, 2) for name in ("query", "key", "value"))
            scores = q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH // HEADS)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            seen = (scores / scores.sum(-1, keepdims=True)) @ v
            x = self.norm(self.linear(seen.transpose(1, 0, 2).reshape(count, WIDTH), layer + "attention.output.dense") + x, layer + "attention.output.LayerNorm")
            wide = self.linear(x, layer + "intermediate.dense")
            wide = wide * 0.5 * (1 + erf_of_each(wide / np.sqrt(2)))
            x = self.norm(self.linear(wide, layer + "output.dense") + x, layer + "output.LayerNorm")
        mean = x.mean(0)
        return (mean / np.linalg.norm(mean)).tolist()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
        known = [model.known(text) for text in texts]
        used = sum(count for count, _ in known)
        data = [{"object": "embedding", "index": at, "embedding": vector} for at, (_, vector) in enumerate(known)]
        body = json.dumps({"object": "list", "model": asked["model"], "data": data, "usage": {"prompt_tokens": used, "total_tokens": used}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


model = MiniLM(sys.argv[1])
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
