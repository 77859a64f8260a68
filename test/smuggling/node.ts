import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Counter } from './verdict.ts'

/** A listener for node:http that counts, and answers with what it counted. */
export function nodeCounter(): Counter & Readonly<{ listener: (request: IncomingMessage, response: ServerResponse) => void }> {
  const seen: string[] = []
  let begun = 0
  return {
    seen: () => seen,
    begun: () => begun,
    listener: (request, response) => {
      begun++
      let length = 0
      request.on('data', (chunk: Buffer) => { length += chunk.length })
      request.on('end', () => {
        const line = `${request.method} ${request.url} ${length}`
        seen.push(line)
        response.setHeader('x-seen', line)
        response.end(`[${line}]`)
      })
    },
  }
}
