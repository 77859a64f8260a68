"""Models of MLServer that are asked right and wrong: one of two versions, one that wants two inputs, and one that streams."""
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, StringCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceResponse


class Iris(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload):
        rows = self.decode_request(payload, default_codec=NumpyRequestCodec)
        kinds = np.argmax(rows.reshape(-1, 4), axis=1).reshape(-1, 1)
        return InferenceResponse(model_name=self.name, model_version=self.version, id=payload.id, outputs=[NumpyCodec.encode_output("predict", kinds)])


class Adder(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload):
        given = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        if set(given) != {"a", "b"}:
            raise InferenceError("inputs a and b are required")
        return InferenceResponse(model_name=self.name, model_version=self.version, id=payload.id, outputs=[NumpyCodec.encode_output("sum", given["a"] + given["b"])])


class Lm(MLModel):
    async def load(self) -> bool:
        return True

    async def predict_stream(self, payloads):
        async for payload in payloads:
            for word in StringCodec.decode_input(payload.inputs[0])[0].split():
                yield InferenceResponse(model_name=self.name, id=payload.id, outputs=[StringCodec.encode_output("token", [word])])
