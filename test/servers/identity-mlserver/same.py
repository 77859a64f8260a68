"""The model `same` of MLServer: gives back every tensor that it is given, by the same name."""
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Same(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = [ResponseOutput(name=one.name, shape=one.shape, datatype=one.datatype, data=one.data) for one in payload.inputs]
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=outputs)
