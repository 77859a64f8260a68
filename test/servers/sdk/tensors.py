"""Tensors of every datatype and many shapes through a model that gives them back, asked itself and by way of the gateway:
tensors.py GRPC GATEWAY TENSORS SEED ROUTES [MODEL]. ROUTES: beginning of x-to. MODEL: one for all datatypes, which takes what JSON has. Prints how many were compared by which way, and whatever differs."""
import collections
import http.client
import json
import math
import random
import sys

import ml_dtypes
import numpy
import tritonclient.grpc as grpc
import grpc as core
import tritonclient.http as rest
from tritonclient.grpc import service_pb2, service_pb2_grpc

direct_at, gateway_at, count, seed, routes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
only = sys.argv[6] if len(sys.argv) > 6 else None
chance = random.Random(seed)
numbers = numpy.random.default_rng(seed)
direct = grpc.InferenceServerClient(direct_at)
numpy.seterr(invalid="ignore")
over_grpc = grpc.InferenceServerClient(gateway_at)
over_http = rest.InferenceServerClient(gateway_at)
stub = service_pb2_grpc.GRPCInferenceServiceStub(core.insecure_channel(gateway_at))
plain = http.client.HTTPConnection(gateway_at)
compared = collections.Counter()
failures = 0

kinds = {
    "BOOL": numpy.bool_, "INT8": numpy.int8, "INT16": numpy.int16, "INT32": numpy.int32, "INT64": numpy.int64,
    "UINT8": numpy.uint8, "UINT16": numpy.uint16, "UINT32": numpy.uint32, "UINT64": numpy.uint64,
    "FP16": numpy.float16, "BF16": ml_dtypes.bfloat16, "FP32": numpy.float32, "FP64": numpy.float64, "BYTES": numpy.object_,
}


def text():
    points = [chance.choice([0x20, 0x22, 0x5C, 0x0A, 0x01, 0x7F, 0xE9, 0x20AC, 0x1F600, 0x61, 0x2F]) for _ in range(chance.randrange(12))]
    return "".join(map(chr, points)).encode()


def array(datatype, shape):
    """Random bits, with everything that no number is; small numbers; or the edges of the datatype."""
    kind, size = kinds[datatype], math.prod(shape)
    if datatype == "BYTES":
        made = numpy.empty(size, dtype=object)
        made[:] = [text() for _ in range(size)]
    elif datatype == "BOOL":
        made = numbers.integers(0, 2, size).astype(kind)
    elif only is not None and datatype[0] in "BF":
        made = (numbers.standard_normal(size) * 10.0 ** chance.randrange(-3, 4)).astype(kind)
    elif chance.random() < 0.5:
        made = numpy.frombuffer(numbers.bytes(size * numpy.dtype(kind).itemsize), dtype=kind).copy()
    elif chance.random() < 0.5 or not numpy.issubdtype(kind, numpy.integer):
        made = (numbers.integers(0, 100, size) / (1 if chance.random() < 0.5 else 8)).astype(kind)
    else:
        info = numpy.iinfo(kind)
        made = numbers.choice(numpy.array([info.min, info.max, 0, 1], dtype=kind), size)
    return made.reshape(shape)


def shapes():
    """One of each rank, of up to a few hundred elements. They have rows in common, so that V1 can say them."""
    rows = chance.choice([1, 2, 3, 7])
    for rank in range(1, 5):
        yield [rows] + [chance.choice([1, 1, 2, 3, 5, 8]) for _ in range(rank - 1)]


def bits(one):
    return [element.encode() if isinstance(element, str) else bytes(element) for element in one.ravel()] if one.dtype == object else (one.shape, one.tobytes())


def in_json(datatype, one):
    """As JSON has it: what is no number has no bits of its own there."""
    if datatype == "BYTES":
        return bits(one)
    if datatype in ("FP16", "BF16", "FP32", "FP64"):
        one = one.copy()
        one[numpy.isnan(one)] = numpy.nan
    return bits(one)


def differs(way, datatype, name, given, wanted):
    global failures
    compared[way] += 1
    if given != wanted:
        failures += 1
        if failures <= 20:
            print("DIFFERS", way, datatype, name, str(given)[:200], str(wanted)[:200])


def wanted_in(form, client, names):
    return [client.InferRequestedOutput(name, binary_data=form) for name in names]


def nested(datatype, one):
    if datatype == "BYTES":
        return numpy.vectorize(bytes.decode, otypes=[object])(one).tolist()
    return one.astype(float).tolist() if datatype == "BF16" else one.tolist()


def body_of(datatype, arrays):
    flat = chance.random() < 0.5
    inputs = [{"name": name, "datatype": datatype, "shape": one.shape, "data": nested(datatype, one.ravel() if flat else one)} for name, one in arrays.items()]
    return json.dumps({"id": "7", "inputs": inputs})


def read_list(datatype, listed):
    if datatype == "BYTES":
        return numpy.vectorize(str.encode, otypes=[object])(numpy.array(listed, dtype=object))
    return numpy.array(listed, dtype=kinds[datatype])


def outputs_of(datatype, answer):
    for output in answer["outputs"]:
        yield output["name"], read_list(datatype, output["data"]).reshape(output["shape"])


fields = {"BOOL": "bool_contents", "INT64": "int64_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}


def typed(datatype, arrays):
    """A request with its data in fields of their own, as grpcurl sends it."""
    request = service_pb2.ModelInferRequest(model_name=only or datatype, id="7")
    for name, one in arrays.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=one.shape)
        field = fields.get(datatype, "uint_contents" if datatype[0] == "U" else "int_contents")
        getattr(tensor.contents, field).extend(one.ravel().tolist())
    return stub.ModelInfer(request, metadata=[("x-to", f"{routes}rest")])


def post(path, to, body):
    plain.request("POST", path, body, {"content-type": "application/json", "x-to": f"{routes}{to}"})
    answer = plain.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {text[:500]} {body[:500]}")
    return json.loads(text)


def ask_json(to, datatype, arrays):
    read = post(f"/v2/models/{only or datatype}/infer", to, body_of(datatype, arrays))
    assert (read["id"], read["model_name"], read.get("model_version")) == ("7", only or datatype, None if only else "1"), read
    return read


def compare(datatype, arrays):
    def inputs(client, **more):
        made = [client.InferInput(name, list(one.shape), datatype) for name, one in arrays.items()]
        for one, value in zip(made, arrays.values()):
            one.set_data_from_numpy(value, **more)
        return made

    names = list(arrays)
    outputs = [grpc.InferRequestedOutput(name) for name in names]
    own = direct.infer(only or datatype, inputs(grpc), outputs=outputs)
    reference = {name: own.as_numpy(name) for name in names}
    for name in names:
        differs("direct", datatype, name, bits(reference[name]), bits(arrays[name]))

    ours = over_grpc.infer(only or datatype, inputs(grpc), outputs=outputs, headers={"x-to": f"{routes}rest"})
    for name in names:
        differs("grpc to rest", datatype, name, bits(ours.as_numpy(name)), bits(reference[name]))

    ours = over_http.infer(only or datatype, inputs(rest, binary_data=True), outputs=wanted_in(True, rest, names), headers={"x-to": f"{routes}grpc"})
    for name in names:
        differs("binary to grpc", datatype, name, bits(ours.as_numpy(name)), bits(reference[name]))

    # The client has no JSON for halves.
    form = chance.random() < 0.5 or datatype in ("FP16", "BF16")
    ours = over_http.infer(only or datatype, inputs(rest, binary_data=form), outputs=wanted_in(not form, rest, names), headers={"x-to": f"{routes}grpc"})
    for name in names:
        ours_read = ours.as_numpy(name)
        differs("json and binary", datatype, name, in_json(datatype, ours_read), in_json(datatype, reference[name]))

    for name, one in outputs_of(datatype, ask_json("grpc", datatype, arrays)):
        differs("json to grpc", datatype, name, in_json(datatype, one), in_json(datatype, reference[name]))

    if datatype not in ("FP16", "BF16"):
        # What is no number loses its bits in Python already.
        answer = grpc.InferResult(typed(datatype, arrays))
        for name in names:
            differs("typed to rest", datatype, name, in_json(datatype, answer.as_numpy(name)), in_json(datatype, reference[name]))

    if only is not None:
        return
    columns = {name: nested(datatype, one) for name, one in arrays.items()}
    rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
    for to, body in (("grpc", {"inputs": columns}), ("rest", {"instances": rows})):
        predictions = post(f"/v1/models/{datatype}:predict", to, json.dumps(body))["predictions"]
        for name in names:
            one = read_list(datatype, [row[name] for row in predictions])
            differs(f"v1 to {to}", datatype, name, in_json(datatype, one), in_json(datatype, reference[name]))


while compared["direct"] < count:
    for datatype in kinds:
        if only is None or datatype != "BF16":
            compare(datatype, {f"R{len(shape)}": array(datatype, shape) for shape in shapes()})
for way, tensors in compared.items():
    print(way, tensors)
print("differ", failures)
