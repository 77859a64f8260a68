"""llama.cpp's HTTP server, as its wheel `xllamacpp` embeds it: serve.py MODEL-FILE HOST PORT ALIAS [embeddings]"""
import signal
import sys

import xllamacpp

path, host, port, alias, *more = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = path
params.model_alias = {alias}
params.hostnames = [host]
params.port = int(port)
params.n_ctx = 4096
params.n_parallel = 4
params.use_jinja = True
params.endpoint_metrics = True
params.warmup = False
params.n_threads_http = 4
if more:
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
# One thread each: the tests share a small machine.
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1

ending = (signal.SIGTERM, signal.SIGINT)
signal.pthread_sigmask(signal.SIG_BLOCK, ending)
server = xllamacpp.Server(params)
signal.sigwait(ending)
