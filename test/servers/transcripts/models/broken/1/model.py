"""Never loads: the server is there, and this model is not."""
raise RuntimeError("broken on purpose")
