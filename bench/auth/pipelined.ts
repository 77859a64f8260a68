import { once } from 'node:events'
import { connect } from 'node:net'

/** Requests that are all different, written ahead of their answers over a few connections, at a rate or as fast as they go. */
export async function pipelined(port: number, requests: readonly string[], rate: number | undefined): Promise<Readonly<{ done: number; ms: number; statuses: ReadonlyMap<string, number> }>> {
  const statuses = new Map<string, number>()
  const connections = 16
  const ahead = 8
  const started = performance.now()
  let next = 0
  await Promise.all(Array.from({ length: connections }, async () => {
    const socket = connect(port, '127.0.0.1').setEncoding('latin1')
    await once(socket, 'connect')
    let open = 0
    let rest = ''
    await new Promise<void>((resolve, reject) => {
      const send = () => {
        const due = rate === undefined ? requests.length : Math.min(requests.length, ((performance.now() - started) * rate) / 1000)
        let text = ''
        while (open < ahead && next < due) {
          text += requests[next++]
          open++
        }
        if (text !== '') socket.write(text)
        if (next >= requests.length && open === 0) resolve()
      }
      const timer = setInterval(send, 1)
      socket.on('error', reject).on('close', () => reject(new Error('the proxy closed'))).on('data', (chunk: string) => {
        const text = rest + chunk
        // The beginning of an answer may come in two pieces.
        const cut = text.lastIndexOf('HTTP/1.1 ')
        const whole = cut >= 0 && text.length - cut < 12 ? cut : text.length
        for (const [, status = ''] of text.slice(0, whole).matchAll(/HTTP\/1\.1 (\d{3})/g)) {
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
          open--
        }
        rest = whole < text.length ? text.slice(whole) : text.slice(-8)
        send()
      })
      void Promise.resolve().then(send)
      socket.once('close', () => clearInterval(timer))
    })
    socket.removeAllListeners('close').once('close', () => {}).destroy()
  }))
  return { done: next, ms: performance.now() - started, statuses }
}
