import { describe } from '../../compose/describe.ts'
import type { Graph } from '../../compose/graph.ts'
import { Looked } from '../../compose/looked.ts'
import { Run } from '../../compose/run.ts'
import { modelAsked } from '../../pipeline/asked.ts'
import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { ExchangeFacts } from '../../pipeline/facts.ts'
import { Kind, valueOf } from '../../pipeline/headers.ts'
import { anonymous } from '../../pipeline/principal.ts'
import type { BuiltRule } from '../../pipeline/rule.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { plainBody } from '../../shape/body.ts'
import { Served } from '../../upstream/served.ts'
import type { Filter, Outcome } from '../filter.ts'

/** Answers with what several calls make. The last of the filters: what others refuse calls nobody. */
export const compose: Filter = {
  name: 'compose',
  build({ rule }) {
    if (rule.compose === undefined) return undefined
    return function runSteps(exchange) {
      const { rule: built, received } = exchange
      const graph = built?.compose
      if (built === undefined || graph === undefined) return undefined
      if ((received.seen & (1 << Kind.upgrade)) !== 0) return noTunnel
      if (isGrpc(valueOf(received.headers, 'content-type'))) return notGrpc
      exchange.explaining?.set('compose', describe(graph))
      const body = plainBody(exchange)
      return body instanceof Promise ? body.then((settled) => begin(exchange, built, graph, settled)) : begin(exchange, built, graph, body)
    }
  },
}

function begin(exchange: Exchange, rule: BuiltRule, graph: Graph, body: Buffer | Failure): Outcome {
  if ('code' in body) return body
  const looked = new Looked()
  let json: unknown = null
  if (graph.readsBody) {
    try {
      json = looked.at(exchange.received.headers, body)
    } catch {
      return unreadable
    }
  }
  // The body is here, so that this is told at once.
  const model = modelAsked(exchange)
  const request = new ExchangeFacts(exchange, typeof model === 'string' ? model : undefined)
  const asked = { body, looked, facts: { request, principal: exchange.principal ?? anonymous, body: () => json } }
  return new Served(exchange, rule, (signal) => new Run(exchange, rule, graph, asked, signal).answer())
}

const noTunnel = failure('invalid_request', 'This route makes its answers out of several calls, and cannot be a tunnel.')
const notGrpc = failure('unsupported_translation', 'This route makes its answers out of several calls in JSON, and a gRPC message is none.')
const unreadable = failure('invalid_request', 'The body is not JSON, or more of it than this route can look into.')
