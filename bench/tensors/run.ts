import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { connect } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { framed } from '../../dataplane/protocols/grpc_frames.ts'
import { writeMessage } from '../../dataplane/tensors/grpc_message.ts'
import { readJson } from '../../dataplane/tensors/read_json.ts'
import { noParameters, widths, type Infer } from '../../dataplane/tensors/tensor.ts'
import { writeJson } from '../../dataplane/tensors/write_json.ts'
import { routeTo } from '../../test/manifests.ts'
import { cpuOf, endAll, otherCore, proxyCore, rssOf, said, start } from '../processes.ts'
import { median } from '../report.ts'

/**
 * `npm run bench:tensors [-- --rounds N]`: what it costs the gateway to bring a tensor of 1 MiB from REST to gRPC and back,
 * beside passing it through, over REST and over gRPC; and how fast JSON is read and written, by datatype.
 */

const at = process.argv.indexOf('--rounds')
const rounds = at < 0 ? 9 : Number(process.argv[at + 1])
const size = 1 << 20
/** Of a round, and at once. */
const requests = 60
const atOnce = 4

const floats = Buffer.from(Float32Array.from({ length: size / 4 }, (_, i) => Math.fround(Math.sin(i))).buffer)
const inferOf = (datatype: string, data: Buffer, count: number): Infer =>
  ({ model: 'm', version: '', id: '', parameters: noParameters, outputs: [], tensors: [{ name: 'x', datatype, shape: [count], parameters: noParameters, data }] })

function bodyOf(infer: Infer, binary: boolean): { body: Buffer; headers: Record<string, string | number> } {
  const written = writeJson('inputs', binary ? { ...infer, parameters: new Map([['binary_data_output', true]]) } : infer, () => binary)
  if ('code' in written) throw new Error(written.detail)
  const body = Buffer.concat(written.pieces)
  return { body, headers: { 'content-length': body.length, ...(written.header !== undefined && { 'inference-header-content-length': written.header }) } }
}

const service = '/inference.GRPCInferenceService'

const route = (name: string, port: number, protocol: string, path = `/v2/models/${name}`) =>
  routeTo(name, port, { matches: `{path: {type: PathPrefix, value: ${path}}}`, protocol })

const agent = new Agent({ keepAlive: true, maxSockets: atOnce })

function post(url: string, { body, headers }: ReturnType<typeof bodyOf>): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request(url, { agent, method: 'POST', headers }, (response) => {
      let length = 0
      response.on('data', (chunk: Buffer) => { length += chunk.length })
      response.on('end', () => { if (response.statusCode === 200) resolve(length); else reject(new Error(`${url}: ${response.statusCode}`)) })
    })
    call.on('error', reject)
    call.end(body)
  })
}

/** The same to a server of gRPC, on one connection. */
function caller(url: string): { call: () => Promise<number>; close: () => void } {
  const { pieces, length } = writeMessage('inputs', inferOf('FP32', floats, size / 4))
  const message = framed(Buffer.concat(pieces, length))
  const session = connect(url, { settings: { initialWindowSize: 8 << 20 } }, () => session.setLocalWindowSize(64 << 20))
  session.on('error', (error) => { throw error })
  const call = (): Promise<number> => new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': `${service}/ModelInfer`, 'content-type': 'application/grpc', te: 'trailers' })
    let bytes = 0
    stream.on('data', (chunk: Buffer) => { bytes += chunk.length })
    stream.on('trailers', (trailers) => { if (trailers['grpc-status'] !== '0') reject(new Error(`grpc-status ${trailers['grpc-status']}`)) })
    stream.on('end', () => { resolve(bytes) }).on('error', reject)
    stream.end(message)
  })
  return { call, close: () => session.destroy() }
}

/** µs of CPU of the gateway for a request, and bytes of its answer. */
async function costOf(pid: number, call: () => Promise<number>, count: number): Promise<{ cpu: number; answer: number }> {
  const before = await cpuOf(pid)
  let [sent, answer] = [0, 0]
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (sent++ < count) answer = await call()
  }))
  return { cpu: (await cpuOf(pid) - before) / count, answer }
}

async function throughGateway(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'modelroute-bench-'))
  try {
    const backends = start(otherCore, [process.execPath, join(import.meta.dirname, 'backend.ts'), String(size)])
    const { ports: [rest = 0, grpc = 0] } = await said<{ ports: number[] }>(backends) ?? { ports: [] }
    const file = join(folder, 'routes.yaml')
    await writeFile(file, route('rest', rest, 'V2') + route('grpc', grpc, 'GRPC') + route('calls', grpc, 'GRPC', service))
    const bin = join(import.meta.dirname, '../../cli/modelroute.js')
    const gateway = start(proxyCore, [process.execPath, bin, 'serve', '-f', file, '--host', '127.0.0.1', '--http-port', '0', '--admin-port', '0', '--control-port', '0', '--log-level', 'info'])
    const http = await said<{ name: string; url: string }>(gateway, ({ name }) => name === 'http')
    gateway.discard()
    const binary = bodyOf(inferOf('FP32', floats, size / 4), true)
    const text = bodyOf(inferOf('FP32', floats, size / 4), false)
    const grpcCaller = caller(http?.url ?? '')
    const works = [
      ['binary, passed through', () => post(`${http?.url}/v2/models/rest/infer`, binary), requests],
      ['gRPC, passed through', grpcCaller.call, requests],
      ['binary to gRPC', () => post(`${http?.url}/v2/models/grpc/infer`, binary), requests],
      ['JSON to gRPC', () => post(`${http?.url}/v2/models/grpc/infer`, text), requests / 6],
    ] as const
    const costs = new Map<string, number[]>(works.map(([name]) => [name, []]))
    let answer = 0
    // JSON by itself, and last: its threads end when there is none, and what they took is no longer told then.
    for (const turn of [works.slice(0, -1), works.slice(-1)]) {
      for (let round = -1; round < rounds; round++) {
        for (const [name, call, count] of turn) {
          const cost = await costOf(gateway.pid, call, count)
          if (round >= 0) costs.get(name)?.push(cost.cpu)
          answer = cost.answer
        }
      }
    }
    grpcCaller.close()
    // What else the machine does only ever adds to it; but the least is also what a round takes in which V8 collects nothing.
    const of = (name: string) => median(costs.get(name) ?? [])
    const least = (name: string) => Math.min(...costs.get(name) ?? [])
    const plain = of('binary, passed through')
    console.log(`FP32, ${size} bytes there and back: µs of the gateway's CPU for a request, median and least of ${rounds} rounds`)
    console.table(Object.fromEntries(works.map(([name]) => [name, { 'CPU (µs)': Math.round(of(name)), least: Math.round(least(name)), times: Number((of(name) / plain).toFixed(2)) }])))
    const json = text.body.length + answer
    console.log(`JSON of ${text.body.length} bytes there and ${answer} back: ${(json / of('JSON to gRPC')).toFixed(0)} MB of text for a second of CPU; ${(await rssOf(gateway.pid)).toFixed(0)} MiB of memory`)
  } finally {
    agent.destroy()
    await endAll()
    await rm(folder, { recursive: true, force: true })
  }
}

/** MB of text a second: read, and written. */
function speedOf(infer: Infer): { read: number; write: number } {
  const text = bodyOf(infer, false).body
  const none = Buffer.alloc(0)
  const time = (work: () => unknown): number => {
    const took: number[] = []
    for (let round = 0; round < 9; round++) {
      const begin = performance.now()
      work()
      took.push(performance.now() - begin)
    }
    return text.length / 1000 / median(took.slice(3))
  }
  return { read: time(() => readJson('inputs', text, none)), write: time(() => writeJson('inputs', infer, () => false)) }
}

function byDatatype(): void {
  const count = 500_000
  const rows = Object.fromEntries([...widths].map(([datatype, width]) => {
    const data = Buffer.alloc(count * width)
    for (let i = 0; i < data.length; i++) data[i] = datatype === 'BOOL' ? i & 1 : (i * 2_654_435_761) >>> 24
    const speed = speedOf(inferOf(datatype, datatype.includes('FP') || datatype === 'BF16' ? numbersOf(datatype, count) : data, count))
    return [datatype, { 'read (MB/s)': Math.round(speed.read), 'written (MB/s)': Math.round(speed.write) }]
  }))
  const texts = Buffer.concat(Array.from({ length: 100_000 }, (_, i) => {
    const element = Buffer.from(`the text number ${i} of "many"`)
    const head = Buffer.alloc(4)
    head.writeUInt32LE(element.length)
    return Buffer.concat([head, element])
  }))
  const speed = speedOf(inferOf('BYTES', texts, 100_000))
  console.log('JSON on one core, a list of one datatype:')
  console.table({ ...rows, BYTES: { 'read (MB/s)': Math.round(speed.read), 'written (MB/s)': Math.round(speed.write) } })
}

/** Such as models take: fractions between -1 and 1. */
function numbersOf(datatype: string, count: number): Buffer {
  const list = `[${Array.from({ length: count }, (_, i) => Math.fround(Math.sin(i))).join()}]`
  const read = readJson('inputs', Buffer.from(`{"inputs":[{"name":"x","datatype":"${datatype}","shape":[${count}],"data":${list}}]}`), Buffer.alloc(0))
  if ('code' in read) throw new Error(read.detail)
  return read.tensors[0]?.data ?? Buffer.alloc(0)
}

await throughGateway()
byDatatype()
