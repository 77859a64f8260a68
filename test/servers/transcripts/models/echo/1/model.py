"""Gives its texts back. `fail` as the first of them fails, and `sleep` takes three seconds."""
import time

import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        texts = triton.get_input_tensor_by_name(request, "IN").as_numpy()
        first = texts.reshape(-1)[0]
        if first == b"sleep":
            time.sleep(3)
        if first == b"fail":
            return triton.InferenceResponse(error=triton.TritonError("model says no"))
        return triton.InferenceResponse([triton.Tensor("OUT", texts)])
