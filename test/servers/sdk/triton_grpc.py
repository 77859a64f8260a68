"""tritonclient over gRPC as its users call it: triton_grpc.py HOST:PORT. Prints what it got."""
import queue
import sys

import numpy
import tritonclient.grpc as grpc

client = grpc.InferenceServerClient(sys.argv[1])
print("live", client.is_server_live(), client.is_model_ready("add"))
print("metadata", client.get_model_metadata("add", as_json=True))
print("config", client.get_model_config("add", as_json=True)["config"]["name"])


def inputs(size):
    numbers = numpy.arange(size, dtype=numpy.float32) / 7
    made = [grpc.InferInput(name, [size], "FP32") for name in ("A", "B")]
    for one in made:
        one.set_data_from_numpy(numbers)
    return made


def infer(size=4096, **more):
    return client.infer("add", inputs(size), **more).as_numpy("SUM").tobytes().hex()


print("plain", infer())
print("version", infer(model_version="1"))
for name in ("gzip", "deflate"):
    print(name, infer(compression_algorithm=name))
# 8 MiB there and 4 back: many frames and windows, and nothing of it held.
print("large", infer(1 << 20)[-16:])

answers = queue.Queue()
client.start_stream(callback=lambda result, error: answers.put((result, error)))
for number in range(20):
    client.async_stream_infer("add", inputs(number + 1), request_id=str(number))
for _ in range(20):
    result, error = answers.get(timeout=20)
    print("stream", error, result.get_response().id, result.as_numpy("SUM").tobytes().hex())
client.async_stream_infer("none", inputs(1))
print("stream error", str(answers.get(timeout=20)[1]).split(":")[-1])
client.stop_stream()

try:
    client.infer("none", [])
except grpc.InferenceServerException as error:
    print("error", error.status(), error.message())
seconds = grpc.InferInput("SECONDS", [1], "FP32")
seconds.set_data_from_numpy(numpy.array([2], dtype=numpy.float32))
try:
    client.infer("slow", [seconds], client_timeout=0.5)
except grpc.InferenceServerException as error:
    print("deadline", error.status())
