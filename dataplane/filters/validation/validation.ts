import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Exchange } from '../../pipeline/exchange.ts'
import { valueOf } from '../../pipeline/headers.ts'
import type { BuiltRule, BuiltVariant } from '../../pipeline/rule.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { plainBody } from '../../shape/body.ts'
import { partOf } from '../../shape/part.ts'
import type { BodyChecks, SchemaCheck } from '../../validation/body_checks.ts'
import { checkInference, formOf, inferenceIn, subjectOf, type Inference } from '../../validation/by_model.ts'
import type { CheckResult } from '../../validation/tally.ts'
import { requestFailure, type Verdict } from '../../validation/verdict.ts'
import type { Filter, FilterFunction, Outcome } from '../filter.ts'

/** Refuses requests whose bodies are not what the rule says, before anything is made of them. */
export const validation: Filter = {
  name: 'validation',
  build({ route, rule }, { bodyChecks }) {
    const asked = rule.validation?.request
    if (asked === undefined) return undefined
    const count = (result: CheckResult) => bodyChecks.tally.count({ route: route.id, name: rule.name }, 'request', result)
    return asked.source === 'Schema' ? bySchema(bodyChecks.bySchema(route.tenant, asked.schema), count) : byModel(bodyChecks, route.tenant, count)
  },
}

type Count = (result: CheckResult) => void

function bySchema(check: SchemaCheck, count: Count): FilterFunction {
  const checked = (exchange: Exchange, body: Buffer | Failure): Outcome | Promise<Outcome> => {
    if ('code' in body) return body
    const part = partOf(exchange.received.headers, body)
    if (part === undefined) return noPart
    const verdict = check(part.json)
    const settle = (settled: Verdict): Outcome => {
      const refused = requestFailure(settled)
      if (exchange.explaining === undefined) count(refused === undefined ? 'passed' : 'refused')
      else exchange.explaining.set('validation', 'the body fits the schema')
      exchange.cause = refused?.cause ?? ''
      return refused
    }
    return verdict instanceof Promise ? verdict.then(settle) : settle(verdict)
  }
  return function validateRequest(exchange) {
    const { method, received } = exchange
    if (isGrpc(valueOf(received.headers, 'content-type'))) return notGrpc
    if (received.bodyLength === 0 && bodyless.has(method)) {
      exchange.explaining?.set('validation', 'has no body')
      return undefined
    }
    const body = plainBody(exchange)
    return body instanceof Promise ? body.then((settled) => checked(exchange, settled)) : checked(exchange, body)
  }
}

/** Methods that ask for something and bring nothing. */
const bodyless: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE'])

const notGrpc = failure('unsupported_translation', 'Requests of this route are checked as JSON, and a gRPC message is none.')
const noPart = failure('invalid_request', 'The body does not begin with as much JSON as Inference-Header-Content-Length says.')

/** Which model it is for is known once a variant is chosen: the body is looked at here, as the caller sent it, and checked there. */
function byModel(checks: BodyChecks, tenant: string, count: Count): FilterFunction {
  return function validateRequest(exchange) {
    const form = formOf(exchange)
    if (form === 'stream') return noStream
    exchange.explaining?.set('validation', form === undefined ? 'is no inference that a model describes' : 'is checked by what the model says of itself')
    if (form === undefined) {
      if (exchange.explaining === undefined && exchange.received.bodyLength !== 0) count('unchecked')
      return undefined
    }
    const { received } = exchange
    const headers = [...received.headers]
    const begin = async (body: Buffer | Failure): Promise<Outcome> => {
      const inference = 'code' in body ? body : await inferenceIn(form, headers, body, exchange.rule?.requestMax ?? Number.POSITIVE_INFINITY)
      if ('code' in inference) return inference
      let last: Readonly<{ variant: BuiltVariant; outcome: Promise<Failure | undefined> }> | undefined
      exchange.fits = (rule, variant) => {
        if (last?.variant === variant) return last.outcome
        // Other variants may be asked after it, and it is one request.
        const first = last === undefined
        const outcome = fitting(exchange, rule, variant, { inference, checks, tenant }).then(({ result, refused }) => {
          if (first && result !== undefined && exchange.explaining === undefined) count(result)
          return refused
        })
        last = { variant, outcome }
        return outcome
      }
      return undefined
    }
    const body = plainBody(exchange)
    return body instanceof Promise ? body.then(begin) : begin(body)
  }
}

const noStream = failure('unsupported_translation', 'Requests of this route are checked one by one, and those of a gRPC stream are not.')

async function fitting(exchange: Exchange, rule: BuiltRule, variant: BuiltVariant, { inference, checks, tenant }: Readonly<{ inference: Inference; checks: BodyChecks; tenant: string }>): Promise<Readonly<{ result?: CheckResult; refused?: Failure | undefined }>> {
  const verdict = await checkInference(subjectOf(exchange, rule, variant, inference), 'inputs', inference, checks, tenant)
  if (verdict === 'untold') return { result: 'unchecked' }
  if (typeof verdict === 'object' && 'code' in verdict) {
    exchange.cause = verdict.cause ?? ''
    return { refused: verdict, ...(verdict.code === 'model_not_found' && { result: 'refused' }) }
  }
  const refused = requestFailure(verdict)
  exchange.cause = refused?.cause ?? exchange.cause
  return { result: refused === undefined ? 'passed' : 'refused', refused }
}
