"""The model `add` of MLServer: SUM = A + B."""
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse


class Add(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        given = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        if set(given) != {"A", "B"}:
            raise InferenceError("inputs A and B are required")
        output = NumpyCodec.encode_output("SUM", given["A"] + given["B"])
        return InferenceResponse(model_name=self.name, model_version=self.version, id=payload.id, outputs=[output])
