"""tritonclient over HTTP as its users call it: triton.py HOST:PORT. Prints what it got."""
import sys

import numpy
import tritonclient.http as http

client = http.InferenceServerClient(sys.argv[1])
print("live", client.is_server_live(), client.is_model_ready("add"))
print("metadata", client.get_model_metadata("add"))
print("config", client.get_model_config("add")["name"])
numbers = numpy.arange(4096, dtype=numpy.float32) / 7


def infer(binary, **more):
    inputs = [http.InferInput(name, [4096], "FP32") for name in ("A", "B")]
    for one in inputs:
        one.set_data_from_numpy(numbers, binary_data=binary)
    outputs = [http.InferRequestedOutput("SUM", binary_data=binary)]
    return client.infer("add", inputs, outputs=outputs, **more).as_numpy("SUM").tobytes().hex()


answers = {
    "json": infer(False),
    "binary": infer(True),
    "version": infer(True, model_version="1"),
    "gzip": infer(True, request_compression_algorithm="gzip", response_compression_algorithm="gzip"),
    "deflate": infer(True, request_compression_algorithm="deflate", response_compression_algorithm="deflate"),
}
for name, answer in answers.items():
    print(name, answer)
try:
    client.infer("none", [])
except http.InferenceServerException as error:
    print("error", error.status(), error.message())
