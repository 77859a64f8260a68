"""tritonclient over HTTP and gRPC as its users call it, for a model that adds: crossing.py HTTP GRPC MODEL. Prints what it got."""
import sys

import numpy
import tritonclient.grpc as grpc
import tritonclient.http as rest

http_at, grpc_at, model = sys.argv[1:]
numbers = numpy.array([1.5, 2, 1e30, -0.0], dtype=numpy.float32)


def told(name, ask):
    try:
        print(f"{name}: {ask()}")
    except Exception as error:
        print(f"{name}:", type(error).__name__, str(error).splitlines()[0].replace(model, "MODEL"))


def infer(client, kind, wanted=None, **binary):
    inputs = [kind.InferInput(name, [4], "FP32") for name in ("A", "B")]
    for one in inputs:
        one.set_data_from_numpy(numbers, **binary)
    result = client.infer(model, inputs, outputs=wanted, request_id="r1")
    return result.as_numpy("SUM").tobytes().hex()


http = rest.InferenceServerClient(http_at)
calls = grpc.InferenceServerClient(grpc_at)
for name, client in (("http", http), ("grpc", calls)):
    told(f"{name} live", client.is_server_live)
    told(f"{name} ready", client.is_server_ready)
    told(f"{name} model ready", lambda: client.is_model_ready(model))
    told(f"{name} unknown ready", lambda: client.is_model_ready("none"))
told("http metadata", lambda: sorted(one["name"] for one in http.get_model_metadata(model)["inputs"]))
told("grpc metadata", lambda: sorted(one.name for one in calls.get_model_metadata(model).inputs))
told("http server", lambda: bool(http.get_server_metadata()["name"]))
told("grpc server", lambda: bool(calls.get_server_metadata().name))
told("http index", lambda: model in [one["name"] for one in http.get_model_repository_index()])
told("grpc index", lambda: model in [one.name for one in calls.get_model_repository_index().models])
told("http json", lambda: infer(http, rest, [rest.InferRequestedOutput("SUM", binary_data=False)], binary_data=False))
told("http binary", lambda: infer(http, rest))
told("grpc infer", lambda: infer(calls, grpc))
