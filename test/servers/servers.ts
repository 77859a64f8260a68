// Real model servers: Triton and llama.cpp's, on models small enough to start in seconds.
//
//   const triton = await startTriton()      // model `add`, versions 1 (A + B) and 2 (1000 + A + B)
//   await fetch(`${triton.http}/v2/models/add/versions/1/infer`, …)
//   await triton.stop()
//
// They listen on free ports of `host`, and die with the test process. Where a test must not listen on loopback (a real
// API server refuses it in EndpointSlices), `host` is an address of the test's network namespace.
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Process, temporaryFolder } from '../cluster/process.ts'
import { until } from '../cluster/wait.ts'
import { freePorts } from '../free-ports.ts'
import { ensureVenv, type Venv } from './venv.ts'

const here = import.meta.dirname

export type Triton = Readonly<{
  /** `http://127.0.0.1:41234`: the Open Inference Protocol over REST. */
  http: string
  /** `127.0.0.1:41235` */
  grpc: string
  /** The page that Prometheus would read. */
  metrics: string
  pid: number
  stop(): Promise<void>
}>

/** `models`: folders of them. `ports`: of HTTP and gRPC, where they must be known before. */
export async function startTriton(options: { host?: string; models?: string | readonly string[]; args?: readonly string[]; ports?: readonly [number, number] } = {}): Promise<Triton> {
  const { host = '127.0.0.1', models = join(here, 'models'), args = [], ports = [] } = options
  const venv = await ensureVenv('triton')
  const home = join(venv.sitePackages, 'pytriton/tritonserver')
  const [freeHttp, freeGrpc, metrics] = await freePorts(3, host)
  const [http = freeHttp, grpc = freeGrpc] = ports
  const url = `http://${host}:${http}`
  // A copy, because the python backend writes its bytecode beside the models.
  const folder = temporaryFolder('triton')
  for (const one of [models].flat()) cpSync(one, join(folder, 'models'), { recursive: true })
  const program = new Process({
    name: 'tritonserver',
    command: join(home, 'bin/tritonserver'),
    log: join(folder, 'tritonserver.log'),
    args: [
      `--model-repository=${join(folder, 'models')}`, `--backend-directory=${tritonBackends(venv, home)}`,
      `--http-address=${host}`, `--http-port=${http}`, `--grpc-address=${host}`, `--grpc-port=${grpc}`,
      `--metrics-address=${host}`, `--metrics-port=${metrics}`,
      '--http-thread-count=2', '--allow-gpu-metrics=false', '--exit-timeout-secs=2', ...args,
    ],
    env: {
      ...process.env,
      // The python backend starts the `python3` it finds, which must be the one the wheel's libraries belong to.
      PATH: `${join(venv.folder, 'bin')}:${process.env['PATH'] ?? ''}`,
      PYTHONPATH: venv.sitePackages,
      LD_LIBRARY_PATH: `${join(venv.sitePackages, 'nvidia_pytriton.libs')}:${venv.libraries}`,
    },
  })
  const pid = await ready(program, `${url}/v2/health/ready`)
  return { http: url, grpc: `${host}:${grpc}`, metrics: `http://${host}:${metrics}/metrics`, pid, stop: () => stop(program) }
}

export type OtherServer = Readonly<{ /** V2 over REST; of KServe's own server V1 too. */ http: string; grpc: string; stop(): Promise<void> }>

/** MLServer with a model `add`, version 2: SUM = A + B. @param more a folder with other models, and their code */
export async function startMlserver(more?: string): Promise<OtherServer> {
  const venv = await ensureVenv('mlserver')
  const [http = 0, grpc = 0, metrics = 0] = await freePorts(3)
  const folder = temporaryFolder('mlserver')
  cpSync(join(here, 'mlserver'), folder, { recursive: true })
  if (more !== undefined) cpSync(more, folder, { recursive: true })
  return other('mlserver', folder, http, grpc, {
    command: join(venv.folder, 'bin/mlserver'), args: ['start', folder],
    env: {
      ...process.env, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1', MLSERVER_HOST: '127.0.0.1', MLSERVER_PARALLEL_WORKERS: '0', MLSERVER_DEBUG: 'false',
      MLSERVER_HTTP_PORT: String(http), MLSERVER_GRPC_PORT: String(grpc), MLSERVER_METRICS_PORT: String(metrics),
    },
  })
}

/** KServe's own server with a model `add`: SUM = A + B, of V1 a sum for each row. */
export async function startKserve(): Promise<OtherServer> {
  const venv = await ensureVenv('kserve')
  const [http = 0, grpc = 0] = await freePorts(2)
  return other('kserve', temporaryFolder('kserve'), http, grpc, { command: venv.python, args: [join(here, 'kserve/serve.py'), String(http), String(grpc)] })
}

async function other(name: string, folder: string, http: number, grpc: number, how: Omit<ConstructorParameters<typeof Process>[0], 'name' | 'log'>): Promise<OtherServer> {
  const program = new Process({ name, log: join(folder, `${name}.log`), ...how })
  const url = `http://127.0.0.1:${http}`
  await ready(program, `${url}/v2/health/ready`)
  return { http: url, grpc: `127.0.0.1:${grpc}`, stop: () => stop(program) }
}

export type Llama = Readonly<{ url: string; model: string; pid: number; stop(): Promise<void> }>

/**
 * `model` is the name that the server gives its model: two servers of two names tell themselves apart. `embeds`: it gives
 * embeddings, and no text.
 */
export async function startLlama(options: { host?: string; model?: string; embeds?: boolean } = {}): Promise<Llama> {
  const { host = '127.0.0.1', model = 'tiny', embeds = false } = options
  const venv = await ensureVenv('llama')
  const folder = temporaryFolder('llama')
  const file = join(folder, 'tiny.gguf')
  await promisify(execFile)(venv.python, [join(here, 'llama/make_model.py'), file])
  const [port] = await freePorts(1, host)
  const url = `http://${host}:${port}`
  const program = new Process({
    name: 'llama.cpp', command: venv.python, log: join(folder, 'llama.log'),
    args: [join(here, 'llama/serve.py'), file, host, String(port), model, ...(embeds ? ['embeddings'] : [])],
  })
  const pid = await ready(program, `${url}/health`)
  return { url, model, pid, stop: () => stop(program) }
}

/** The wheel keeps one stub for each Python version apart; the server wants the right one beside its backend. */
function tritonBackends(venv: Venv, home: string): string {
  const folder = join(venv.folder, 'triton-backends')
  const stub = join(folder, 'python/triton_python_backend_stub')
  if (!existsSync(stub)) {
    mkdirSync(folder, { recursive: true })
    cpSync(join(home, 'backends/python'), join(folder, 'python'), { recursive: true })
    cpSync(join(home, 'python_backend_stubs', venv.version, 'triton_python_backend_stub'), stub)
  }
  return folder
}

/** Triton's Python backend falls over its own locks where the machine is slow; so it is started once more, or twice. */
async function ready(program: Process, url: string): Promise<number> {
  program.start()
  let again = 2
  await until(`${program.name} to be ready`, async () => {
    if (!program.running && again-- > 0) program.start()
    if (!program.running) throw new Error(`${program.name} is not running`)
    const response = await fetch(url)
    await response.body?.cancel()
    return response.ok
  }, { timeout: 180_000, describe: () => program.tail() })
  const { pid } = program
  if (pid === undefined) throw new Error(`${program.name} answered and is gone`)
  return pid
}

async function stop(program: Process): Promise<void> {
  const late = setTimeout(() => void program.kill('SIGKILL'), 5_000)
  await program.kill('SIGTERM')
  clearTimeout(late)
}
