import type { Stage } from '../../pipeline/exchange.ts'
import type { Failure } from '../../pipeline/errors.ts'
import type { Asked, Translation } from '../translation.ts'
import { unary, type Given, type Said } from '../unary.ts'
import type { Ask, Caller, Server } from './ask.ts'
import { redirected, streamed, unreadable } from './streamed.ts'

/** Puts what one kind of caller asks of a model that writes text to one kind of server. */
export function textTranslation(caller: Caller, server: Server): Translation {
  return (asked) => {
    const ask = caller.read(asked)
    if ('code' in ask) return ask
    // Whoever counts tokens is told, the caller only where he asks for it.
    const inner = { ...ask, usage: ask.usage || asked.countsTokens }
    const told = server.request(inner, asked.model)
    return 'code' in told ? told : { ...told, answer: answerOf(caller, server, ask, inner, asked) }
  }
}

function answerOf(caller: Caller, server: Server, ask: Ask, inner: Ask, { requestId, generated, answerMax }: Asked): Stage {
  const writer = () => caller.writer(ask, requestId, Math.floor(Date.now() / 1000))
  if (ask.stream) return streamed({ reader: () => server.reader(inner), writer, error: server.error, generated })
  return unary(answerMax, (given) => wholeOf(given, server, inner, writer(), generated))
}

function wholeOf({ status, headers, body, trailers }: Given, server: Server, ask: Ask, writer: ReturnType<Caller['writer']>, generated: Asked['generated']): Said | Failure {
  const events = headers[headers.indexOf('content-type') + 1]?.startsWith('text/event-stream') === true
  if (status < 200 || status >= 400 && !events) return writer.refusal(status, server.error(body))
  if (status >= 300 && status < 400) return redirected
  const reader = server.reader(ask)
  const [pieces, rest] = [reader.push(body), reader.end(trailers)]
  if (pieces === undefined || rest === undefined) return unreadable
  for (const piece of [...pieces, ...rest]) {
    if (piece.kind === 'fault') return writer.refusal(status >= 400 ? status : 500, piece.message)
    if (piece.kind === 'usage') generated.usage = piece.usage
    else generated.pieces++
    writer.write(piece)
  }
  return writer.end()
}

