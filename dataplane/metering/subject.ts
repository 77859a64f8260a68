import { bodyMembers, modelAsked, nameAsked } from '../pipeline/asked.ts'
import { readBody } from '../pipeline/body.ts'
import { failure, type Failure } from '../pipeline/errors.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import { demandOf, noDemand, type Demand } from '../protocols/demand.ts'
import { isGrpc } from '../protocols/grpc.ts'
import { membersOf } from '../protocols/json.ts'
import { placeOfModel } from '../protocols/named.ts'

/** What must be known of a request, for the limits of its rule or for its price: whatever nothing asks for is not looked at. */
export type Needs = Readonly<{
  /** The model that it names, which may be in its body. */
  model: boolean
  /** What it asks of the model: rows, tokens. */
  demand: boolean
  /** The number of its bytes. */
  size: boolean
  /** How many tokens the answer says that it took. */
  usage: boolean
}>

/** A request, and what must be known of it. */
export type Subject = Readonly<{
  exchange: Exchange
  /** The model that it names, else the one that its match is for. */
  model: string
  /** Undefined where nothing tells what it asks of a model: then its bytes do. */
  demand: Demand | undefined
  requestBytes: number
}>

/** Where all that the limits must know is here already. */
export function subjectAtHand(exchange: Exchange, needs: Needs): Subject | undefined {
  if (needs.demand || needs.size || (needs.model && placeOfModel(exchange.path, exchange.received.headers) !== undefined)) return undefined
  return { exchange, model: needs.model ? modelInPath(exchange) : '', demand: undefined, requestBytes: 0 }
}

const modelInPath = (exchange: Exchange) => exchange.model()?.name ?? nameAsked(exchange) ?? ''

/** Reads what must be known. What a server could read in another way than we do is refused: its cost would be a guess. */
export async function lookAt(exchange: Exchange, needs: Needs): Promise<Subject | Failure> {
  const { received } = exchange
  // A stream of gRPC messages has no end to wait for.
  const readable = received.bodyLength !== 0 && !isGrpc(exchange.header('content-type'))
  let model = needs.model ? modelInPath(exchange) : ''
  if (needs.model && received.bodyLength !== 0) {
    const asked = await modelAsked(exchange)
    if (typeof asked !== 'string') return asked
    if (asked !== '') model = asked
  }
  const demand = !needs.demand ? undefined : received.bodyLength === 0 ? noDemand : readable ? await demandIn(exchange) : undefined
  if (demand !== undefined && 'code' in demand) return demand
  if (demand !== undefined && demand.rows > 0) exchange.rows = demand.rows
  let requestBytes = exchange.body?.length ?? (typeof received.bodyLength === 'number' ? received.bodyLength : 0)
  if (needs.size && readable && received.bodyLength === 'chunked') {
    const body = await readBody(exchange)
    if ('code' in body) return body
    requestBytes = body.length
  }
  return { exchange, model, demand, requestBytes }
}

async function demandIn(exchange: Exchange): Promise<Demand | Failure | undefined> {
  const { path, protocol } = exchange
  if (protocol === 'HTTP' || isUpload(exchange)) return undefined
  const members = protocol === 'V2' ? await membersOfV2(exchange) : await bodyMembers(exchange)
  if (members === undefined) return { ...noDemand, rows: 1 }
  if ('code' in members) return members
  try {
    return demandOf(path, members) ?? unreadable
  } catch {
    // It is nested deeper than anybody would.
    return unreadable
  }
}

/** Sound and images come as forms, in which there is no telling what they ask for. */
function isUpload(exchange: Exchange): boolean {
  return /\/v1\/(?:audio|images)\//.test(exchange.path) && exchange.header('content-type')?.startsWith('multipart/') === true
}

/**
 * Tensors in binary come after the JSON, whose length a header tells (Triton's binary data extension). Undefined where
 * all of the body is one raw tensor.
 */
async function membersOfV2(exchange: Exchange): Promise<ReturnType<typeof membersOf> | Failure> {
  const length = exchange.header('inference-header-content-length')
  if (length === undefined) return bodyMembers(exchange)
  if (!/^\d{1,12}$/.test(length)) return unreadable
  const body = await readBody(exchange)
  if ('code' in body) return body
  if (Number(length) === 0) return undefined
  return membersOf(body.subarray(0, Number(length))) ?? unreadable
}

const unreadable = failure('invalid_request', 'What the request asks of the model cannot be read from its body.')
