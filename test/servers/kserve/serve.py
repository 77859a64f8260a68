"""KServe's own server with a model `add`, which speaks V1, V2 and gRPC: serve.py HTTP-PORT GRPC-PORT.

`cold` is the same and never ready, and `fail` fails."""
import sys

import numpy
from kserve import InferOutput, InferResponse, Model, ModelServer


class Add(Model):
    def __init__(self, name="add"):
        super().__init__(name)
        self.ready = name != "cold"

    def predict(self, payload, headers=None, response_headers=None):
        if self.name == "fail":
            raise RuntimeError("on purpose")
        if isinstance(payload, dict):
            return {"predictions": [row["A"] + row["B"] for row in payload["instances"]]}
        given = {one.name: one.as_numpy() for one in payload.inputs}
        total = (given["A"] + given["B"]).astype(numpy.float32)
        output = InferOutput(name="SUM", shape=list(total.shape), datatype="FP32", data=total.tolist())
        return InferResponse(response_id=payload.id or "", model_name=self.name, infer_outputs=[output])

    async def get_input_types(self):
        return [{"name": name, "datatype": "FP32", "shape": [-1]} for name in ("A", "B")]

    async def get_output_types(self):
        return [{"name": "SUM", "datatype": "FP32", "shape": [-1]}]


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), workers=1).start([Add(), Add("cold"), Add("fail")])
