"""openai for Python as its users call it: chat.py BASE-URL. Prints what it got, without what differs every time."""
import json
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
ask = dict(model="tiny", temperature=0, max_tokens=16, seed=1, messages=[{"role": "user", "content": "Good morning"}])
chat = client.chat.completions.create(**ask)
print("chat", chat.choices[0].message.content, chat.usage.completion_tokens)
words = [chunk.choices[0].delta.content for chunk in client.chat.completions.create(stream=True, **ask)]
print("stream", json.dumps(words))
chunks = list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **ask))
print("usage", len(chunks), chunks[-1].usage.completion_tokens)
with client.chat.completions.create(stream=True, **{**ask, "max_tokens": 2000}) as stream:
    print("left", next(iter(stream)).object)
try:
    client.chat.completions.create(model="tiny", messages="none")
    print("no error")
except openai.APIStatusError as error:
    print("error", type(error).__name__, error.status_code, json.dumps(error.body, sort_keys=True))
