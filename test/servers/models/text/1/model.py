"""Says the words of its prompt again, one an answer where it is asked to stream. It takes and gives what Triton's backend
for vLLM does. `fail` among the words fails there; a parameter `tell` has it say its parameters instead."""
import json
import time

import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            try:
                self.answer(request, sender)
            except Exception as error:
                sender.send(triton.InferenceResponse(error=triton.TritonError(str(error))))
            sender.send(flags=triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def answer(self, request, sender):
        def given(name, default):
            tensor = triton.get_input_tensor_by_name(request, name)
            return default if tensor is None else tensor.as_numpy().reshape(-1)[0]

        prompt = given("text_input", b"").decode()
        stream = bool(given("stream", False))
        parameters = json.loads(given("sampling_parameters", None) or request.parameters() or "{}")
        words = [json.dumps(parameters, sort_keys=True)] if "tell" in parameters else prompt.split()
        most = int(parameters.get("max_tokens", 16))
        said = [f" {word}" for word in words[:most]]
        reason = "length" if len(words) > most else "stop"

        def send(text, written, end):
            outputs = [triton.Tensor("text_output", np.array([text.encode()], dtype=np.object_))]
            if given("return_finish_reason", False):
                outputs.append(triton.Tensor("finish_reason", np.array([(reason if end else "None").encode()], dtype=np.object_)))
            if given("return_num_input_tokens", False):
                outputs.append(triton.Tensor("num_input_tokens", np.array([len(prompt.split())], dtype=np.uint32)))
            if given("return_num_output_tokens", False):
                outputs.append(triton.Tensor("num_output_tokens", np.array([written], dtype=np.uint32)))
            sender.send(triton.InferenceResponse(outputs))

        if not stream:
            if " fail" in said:
                raise ValueError("model says no")
            send(("" if given("exclude_input_in_output", False) else prompt) + "".join(said), len(said), True)
            return
        for at, word in enumerate(said):
            if word == " fail":
                raise ValueError("model says no")
            if at > 0:
                time.sleep(0.02)
            send(word, 1, at == len(said) - 1)
