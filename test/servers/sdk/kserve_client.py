"""KServe's clients over REST (V1 and V2) and gRPC as their users call them, for a model that adds: kserve_client.py HTTP
GRPC MODEL. Prints what they got."""
import asyncio
import sys

import numpy
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

http_at, grpc_at, model = sys.argv[1:]
url = f"http://{http_at}"
numbers = numpy.array([1.5, 2, 1e30, -0.0], dtype=numpy.float32)


async def told(name, asked):
    try:
        print(f"{name}: {await asked}")
    except Exception as error:
        print(f"{name}:", type(error).__name__, str(error).splitlines()[0].replace(model, "MODEL"))


def request(binary):
    inputs = [InferInput(name=name, shape=[4], datatype="FP32") for name in ("A", "B")]
    for one in inputs:
        one.set_data_from_numpy(numbers, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=inputs, request_id="r1")


async def outputs(asked):
    return [(one.name, one.as_numpy().astype(numpy.float32).tobytes().hex()) for one in (await asked).outputs]


async def main():
    v1, v2 = (InferenceRESTClient(RESTConfig(protocol=protocol)) for protocol in ("v1", "v2"))
    rows = [{"A": float(one), "B": float(one)} for one in numbers]
    await told("v1 predict", v1.infer(url, {"instances": rows}, model_name=model))
    await told("v1 model ready", v1.is_model_ready(url, model))
    for name, asked in (("live", v2.is_server_live), ("ready", v2.is_server_ready)):
        await told(f"v2 {name}", asked(url))
    await told("v2 model ready", v2.is_model_ready(url, model))
    await told("v2 unknown ready", v2.is_model_ready(url, "none"))
    await told("v2 json", outputs(v2.infer(url, request(False), model_name=model)))
    await told("v2 binary", outputs(v2.infer(url, request(True), model_name=model)))
    calls = InferenceGRPCClient(url=grpc_at)
    await told("grpc live", calls.is_server_live())
    await told("grpc ready", calls.is_server_ready())
    await told("grpc model ready", calls.is_model_ready(model))
    await told("grpc infer", outputs(calls.infer(request(False))))
    await calls.close()


asyncio.run(main())
