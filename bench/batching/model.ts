import { createServer } from 'node:http'

/** `MILLISECONDS`: a model of V2 that takes one call at a time, each as long as that whatever its rows. */
const cost = Number(process.argv[2])
let free = 0

type Asked = Readonly<{ id?: string; inputs: readonly [Readonly<{ shape: readonly number[]; data: readonly number[] }>] }>

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the bench sends
    const { id, inputs: [{ shape, data }] } = JSON.parse(Buffer.concat(chunks).toString()) as Asked
    const now = performance.now()
    free = Math.max(now, free) + cost
    setTimeout(() => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ model_name: 'm', id, outputs: [{ name: 'y', shape, datatype: 'FP32', data: data.map((x) => 2 * x) }] }))
    }, free - now)
  })
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  console.log(JSON.stringify({ port: typeof address === 'object' ? address?.port : 0 }))
})
process.stdin.resume().on('end', () => process.exit())
