import type { Stage } from '../../pipeline/exchange.ts'
import type { Failure } from '../../pipeline/errors.ts'
import { putText } from '../../tensors/work.ts'
import type { Asked, Told, Translation } from '../translation.ts'
import { unary, type Given, type Said } from '../unary.ts'
import type { Ask, Caller, Part, Piece, Server } from './ask.ts'
import { askedOf } from './put.ts'
import { redirected, streamed, unreadable, type Streaming } from './streamed.ts'

/** Which server it is, where that depends on what it says of its model. */
export type ServerChoice = (ask: Ask, asked: Asked) => Promise<Server>

/** Puts what one kind of caller asks of a model that writes text to one kind of server. */
export function textTranslation(caller: Caller, servers: Server | ServerChoice): Translation {
  return async (asked) => {
    const found = await put(caller, servers, asked)
    if ('code' in found) return found
    const { ask, server, told } = found
    const writer = () => caller.writer(ask, asked.requestId, Math.floor(Date.now() / 1000))
    const inner = askedOf(ask, asked.countsTokens)
    return { ...told, answer: answerOf(ask.stream, asked, { reader: () => server.reader(inner), writer, error: server.error, generated: asked.generated }) }
  }
}

type Found = Readonly<{ ask: Ask; server: Server; told: Omit<Told, 'answer'> }>

/** A request that is read and written at once. Bytes. */
const hereMax = 262_144

async function put(caller: Caller, servers: Server | ServerChoice, asked: Asked): Promise<Found | Failure> {
  if (asked.body.length > hereMax) {
    const large = await putLarge(caller, servers, asked)
    if (large !== undefined) return large
  }
  const ask = caller.read(asked)
  if ('code' in ask) return ask
  const inner = askedOf(ask, asked.countsTokens)
  const server = typeof servers === 'function' ? await servers(inner, asked) : servers
  const told = server.request(inner, asked.model)
  return 'code' in told ? told : { ask, server, told }
}

/** In another thread, so that it does not keep the process from other requests. Undefined: for this server that cannot be. */
async function putLarge(caller: Caller, servers: Server | ServerChoice, asked: Asked): Promise<Found | Failure | undefined> {
  const { path, body, model, countsTokens } = asked
  const name = typeof servers === 'function' ? 'generate' : servers.name
  const done = name && await putText({ caller: caller.name, server: name, path, body, model, countsTokens })
  if (done === undefined) return undefined
  // Another server of the choice might take it.
  if ('code' in done) return typeof servers === 'function' && done.code === 'unsupported_translation' ? undefined : done
  const { ask, text, ...told } = done
  const server = typeof servers === 'function' ? await servers(ask, asked) : servers
  return server.name === name ? { ask, server, told: { ...told, body: [text] } } : undefined
}

/** Takes an answer apart and puts it together in another form: piece by piece as it comes, or when it is whole. */
export function answerOf<P extends Piece | Part>(stream: boolean, { answerMax }: Asked, streaming: Streaming<P>): Stage {
  return stream ? streamed(streaming) : unary(answerMax, (given) => wholeOf(given, streaming))
}

function wholeOf<P extends Piece | Part>({ status, headers, body, trailers }: Given, streaming: Streaming<P>): Said | Failure {
  const { generated } = streaming
  const writer = streaming.writer()
  const events = headers[headers.indexOf('content-type') + 1]?.startsWith('text/event-stream') === true
  if (status < 200 || status >= 400 && !events) return writer.refusal(status, streaming.error(body))
  if (status >= 300 && status < 400) return redirected
  const reader = streaming.reader()
  const [pieces, rest] = [reader.push(body), reader.end([...headers, ...trailers])]
  if (pieces === undefined || rest === undefined) return unreadable
  for (const piece of [...pieces, ...rest]) {
    const one: Piece | Part = piece
    if (one.kind === 'fault') return writer.refusal(one.status ?? (status >= 400 ? status : 500), one.message)
    if (one.kind === 'usage') generated.usage = one.usage
    else generated.pieces++
    writer.write(piece)
  }
  return writer.end()
}
