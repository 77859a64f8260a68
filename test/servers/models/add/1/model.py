"""Version 1 of `add`: SUM = A + B."""
import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        a, b = (triton.get_input_tensor_by_name(request, name).as_numpy() for name in ("A", "B"))
        if a.shape != b.shape:
            error = triton.TritonError(f"A has shape {a.shape} and B {b.shape}", triton.TritonError.INVALID_ARG)
            return triton.InferenceResponse(error=error)
        return triton.InferenceResponse([triton.Tensor("SUM", (a + b).astype(np.float32))])
