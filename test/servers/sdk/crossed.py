"""What openai makes of a model of Triton behind the gateway: crossed.py BASE-URL"""
import json
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
shown = json.dumps

one = client.completions.create(model="text", prompt="one two three four", max_tokens=2)
print("completion", shown(one.choices[0].text), one.choices[0].finish_reason, one.usage.prompt_tokens, one.usage.completion_tokens)

chat = client.chat.completions.create(model="text", messages=[{"role": "user", "content": "hi there"}])
print("chat", shown(chat.choices[0].message.content), chat.choices[0].finish_reason)

words, reason, usage = [], None, None
for chunk in client.completions.create(model="text", prompt="one two three four", max_tokens=3, stream=True, stream_options={"include_usage": True}):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        reason = choice.finish_reason or reason
        if choice.text:
            words.append(shown(choice.text))
print("stream", *words, reason, usage.prompt_tokens, usage.completion_tokens)

stream = client.completions.create(model="text", prompt="one two three four", stream=True)
print("left", shown(next(iter(stream)).choices[0].text))
stream.close()

try:
    for _ in client.completions.create(model="text", prompt="one fail", stream=True):
        pass
except openai.APIError as error:
    print("failed", shown(error.message))

try:
    client.chat.completions.create(model="text", messages=[{"role": "user", "content": "hi"}], tools=[{"type": "function", "function": {"name": "f"}}])
except openai.APIStatusError as error:
    print("refused", error.status_code, error.code, error.param)

try:
    client.completions.create(model="nope", prompt="one")
except openai.APIStatusError as error:
    print("unknown", error.status_code, error.body["message"])

print("models", sorted(model.id for model in client.models.list() if model.id in ("embed", "text")), client.models.retrieve("embed").id)
texts = ["abba", "cab a"]
floats = client.embeddings.create(model="embed", input=texts, encoding_format="float")
packed = client.embeddings.create(model="embed", input=texts)
print("embeddings", [[round(one, 4) for one in item.embedding] for item in floats.data], floats.usage.prompt_tokens, [item.embedding for item in packed.data] == [item.embedding for item in floats.data])
print("dimensions", client.embeddings.create(model="embed", input="aabc", dimensions=2).data[0].embedding)
