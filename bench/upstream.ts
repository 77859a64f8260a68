import { createServer, type Socket } from 'node:net'

/**
 * The backend of the benchmark: as little HTTP as its own clients need, so that the core it shares with the load
 * generator is not what is measured. Listens on four ports of 127.0.0.1 and says them in one line of JSON.
 *
 * `POST /…` reads the body and answers 1 KiB of JSON; `GET /events/N/MS` sends N events MS apart (0: as fast as they
 * go), each with the time it was sent; `GET /bytes/N` sends N bytes.
 */
const answerBody = `{"outputs":[{"name":"score","datatype":"FP32","shape":[1],"data":[0.12]}],"pad":"${'x'.repeat(943)}"}`
const chatBody = JSON.stringify({
  id: 'chatcmpl-1', object: 'chat.completion', created: 1_700_000_000, model: 'bench', pad: 'x'.repeat(720),
  choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'yes' } }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
})
const json = (body: string) => Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
)
const [answer, chatAnswer] = [json(answerBody), json(chatBody)]
const block = Buffer.alloc(65_536, 'x')

function serve(socket: Socket): void {
  socket.setNoDelay(true)
  /** Bytes of the request's body still to come. */
  let left = 0
  let head = ''
  let reply = answer
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    if (left > 0) {
      left -= chunk.length
      if (left === 0) socket.write(reply)
      return
    }
    head += chunk.toString('latin1')
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    const whole = head
    head = ''
    if (whole.startsWith('GET /')) {
      respond(socket, whole.slice(5, whole.indexOf(' ', 5)).split('/'))
      return
    }
    reply = whole.startsWith('POST /v1/chat') ? chatAnswer : answer
    const length = Number(/\r\ncontent-length: *(?<length>\d+)/i.exec(whole)?.groups?.['length'] ?? 0)
    left = length - (whole.length - end - 4)
    if (left === 0) socket.write(reply)
  })
}

function respond(socket: Socket, [what, count, apart]: readonly string[]): void {
  if (what === 'events') sendEvents(socket, Number(count), Number(apart))
  else if (what === 'bytes') sendBytes(socket, Number(count))
  else socket.write(answer)
}

function sendEvents(socket: Socket, count: number, apart: number): void {
  socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n')
  let sent = 0
  const next = () => {
    if (socket.destroyed) return
    const event = `data: {"at":${process.hrtime.bigint()},"token":"${'t'.repeat(32)}"}\n\n`
    const more = socket.write(`${event.length.toString(16)}\r\n${event}\r\n`)
    if (++sent === count) socket.write('0\r\n\r\n')
    else if (apart > 0) setTimeout(next, apart)
    else if (more) setImmediate(next)
    else socket.once('drain', next)
  }
  // Streams that start together do not send together.
  if (apart > 0) setTimeout(next, Math.random() * apart)
  else next()
}

function sendBytes(socket: Socket, count: number): void {
  socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: ${count}\r\n\r\n`)
  let left = count
  const next = () => {
    while (left > 0) {
      const size = Math.min(left, block.length)
      left -= size
      if (!socket.write(size === block.length ? block : block.subarray(0, size))) {
        socket.once('drain', next)
        return
      }
    }
  }
  next()
}

const ports = await Promise.all([0, 1, 2, 3].map(() => new Promise<number>((resolve) => {
  const server = createServer(serve).listen(0, '127.0.0.1', () => {
    const bound = server.address()
    resolve(typeof bound === 'object' && bound !== null ? bound.port : 0)
  })
})))
console.log(JSON.stringify({ ports }))
process.once('disconnect', () => process.exit())
