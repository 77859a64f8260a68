import { createServer } from 'node:http'
import { createServer as createServer2 } from 'node:http2'
import { framed } from '../../dataplane/protocols/grpc_frames.ts'
import { writeMessage } from '../../dataplane/tensors/grpc_message.ts'
import { writeJson } from '../../dataplane/tensors/write_json.ts'
import { noParameters, type Infer } from '../../dataplane/tensors/tensor.ts'

/** Two model servers, of V2 over REST and over gRPC: they read what they are sent, and answer with a tensor of as many bytes as the first argument says. */

const bytes = Number(process.argv[2])
const data = Buffer.from(Float32Array.from({ length: bytes / 4 }, (_, i) => Math.fround(Math.sin(i))).buffer)
const infer: Infer = { model: 'm', version: '1', id: '', parameters: noParameters, outputs: [], tensors: [{ name: 'y', datatype: 'FP32', shape: [data.length / 4], parameters: noParameters, data }] }

const written = writeJson('outputs', infer, () => true)
if ('code' in written) throw new Error(written.detail)
const body = Buffer.concat(written.pieces)
const rest = createServer((request, response) => {
  request.resume().on('end', () => response.writeHead(200, { 'content-type': 'application/octet-stream', 'inference-header-content-length': written.header, 'content-length': body.length }).end(body))
})

const message = framed(...writeMessage('outputs', infer).pieces)
const grpc = createServer2({ settings: { initialWindowSize: 8 << 20, maxFrameSize: 1 << 20 } }, (request, response) => {
  request.resume().on('end', () => {
    response.writeHead(200, { 'content-type': 'application/grpc' })
    response.on('error', () => {})
    response.addTrailers({ 'grpc-status': '0' })
    response.end(message)
  })
})
grpc.on('session', (session) => session.setLocalWindowSize(64 << 20))

const listening = [rest, grpc].map((server) => new Promise<number>((resolve) => {
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    resolve(typeof address === 'object' ? address?.port ?? 0 : 0)
  })
}))
console.log(JSON.stringify({ ports: await Promise.all(listening) }))
