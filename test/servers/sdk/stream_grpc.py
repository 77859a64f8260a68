"""What tritonclient hears of a stream over gRPC behind the gateway: stream_grpc.py ADDRESS MODEL [HEADER VALUE]

One connection, two requests one after the other: the second is sent when the first has been answered."""
import queue
import sys

import numpy as np
import tritonclient.grpc as triton

address, model, *header = sys.argv[1:]
client = triton.InferenceServerClient(address)
heard = queue.Queue()
client.start_stream(callback=lambda result, error: heard.put((result, error)), headers=dict([header]) if header else None)


def ask(name, prompt, **parameters):
    text = triton.InferInput("text_input", [1], "BYTES")
    text.set_data_from_numpy(np.array([prompt.encode()], dtype=np.object_))
    stream = triton.InferInput("stream", [1], "BOOL")
    stream.set_data_from_numpy(np.array([True]))
    client.async_stream_infer(name, [text, stream], request_id=prompt, enable_empty_final_response=True, parameters=parameters)
    said, error = [], None
    while True:
        result, error = heard.get(timeout=30)
        if error is not None:
            break
        response = result.get_response()
        if response.parameters["triton_final_response"].bool_param:
            break
        said.append(result.as_numpy("text_output").reshape(-1)[0].decode())
    return said, error


said, error = ask(model, "one two three", max_tokens=2)
print("first", len(said) > 0, error)
said, error = ask(model, "the cat", max_tokens=3)
print("second", len(said) > 0, error)
said, error = ask("nope", "one")
print("unknown", said, error and error.message())
client.stop_stream()
