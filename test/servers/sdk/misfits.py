"""tritonclient over gRPC with tensors that a model does not take: misfits.py HOST:PORT. Prints what each was answered."""
import sys

import numpy
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

client = grpc.InferenceServerClient(sys.argv[1])


def infer(what, *tensors, outputs=None):
    inputs = []
    for name, values in tensors:
        one = grpc.InferInput(name, list(values.shape), {"float32": "FP32", "int32": "INT32"}[str(values.dtype)])
        one.set_data_from_numpy(values)
        inputs.append(one)
    asked = [grpc.InferRequestedOutput(name) for name in outputs or []]
    try:
        result = client.infer("batched", inputs, outputs=asked or None)
        print(what, result.as_numpy("Y").shape)
    except InferenceServerException as error:
        print(what, error.status(), error.message())


def x(*shape, dtype="float32"):
    return "X", numpy.ones(shape, dtype=dtype)


infer("fits", x(3, 4))
infer("outputs", x(1, 4), outputs=["Y"])
infer("name", ("Z", numpy.ones((1, 4), dtype="float32")))
infer("datatype", x(1, 4, dtype="int32"))
infer("shape", x(1, 5))
infer("rank", x(4))
infer("missing")
infer("output", x(1, 4), outputs=["Z"])
