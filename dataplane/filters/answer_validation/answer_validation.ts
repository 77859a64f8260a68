import { modelAsked } from '../../pipeline/asked.ts'
import { failure, type Failure } from '../../pipeline/errors.ts'
import type { Exchange, Stage } from '../../pipeline/exchange.ts'
import { valueOf, type FlatHeaders } from '../../pipeline/headers.ts'
import { isPlain } from '../../protocols/encodings.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { eachEvent, partsOf } from '../../shape/events.ts'
import { partOf } from '../../shape/part.ts'
import { askWhole } from '../../shape/whole_asked.ts'
import { readableMax, whole } from '../../upstream/whole.ts'
import type { BodyChecks, SchemaCheck } from '../../validation/body_checks.ts'
import { checkInference, formOf, inferenceIn, subjectOf, type Form } from '../../validation/by_model.ts'
import { answerFailure } from '../../validation/verdict.ts'
import type { Filter } from '../filter.ts'
import { note, reported, type Checking } from './reported.ts'

/** Checks what the model answers, in the form that the caller is given, before anything is changed in that. */
export const answerValidation: Filter = {
  name: 'answer_validation',
  build({ route, rule }, { bodyChecks }) {
    const asked = rule.validation?.response
    if (asked === undefined) return undefined
    const rejects = asked.reject === true
    const schema = asked.source === 'Schema' ? bodyChecks.bySchema(route.tenant, asked.schema) : undefined
    const at = { route: route.id, name: rule.name }
    return function validateAnswer(exchange) {
      exchange.explaining?.set('answer_validation', `an answer that does not fit is ${rejects ? 'refused' : 'reported'}`)
      const form = schema === undefined ? formOf(exchange) : undefined
      if (form === 'stream' && rejects) return noStream
      if (schema === undefined && (form === undefined || form === 'stream')) return undefined
      const check = schema === undefined ? undefined : bySchema(schema)
      const checking: Checking = {
        exchange,
        wants: (status, headers) => status < 300 && (form === 'GRPC' || !isGrpc(valueOf(headers, 'content-type'))) && partsOf(valueOf(headers, 'content-type')) === undefined,
        check: check ?? byModel(exchange, form === 'GRPC' || form === 'V1' ? form : 'V2', bodyChecks, route.tenant),
        count: (result) => bodyChecks.tally.count(at, 'response', result),
      }
      if (rejects) askWhole(exchange.received.headers)
      const stages = [rejects ? enforced(checking) : reported(checking), ...(schema === undefined ? [] : [rejects ? eachEnforced(checking, schema) : eachReported(checking, schema)])]
      // The last stands nearest to the model: filters before this one have put theirs in place.
      ;(exchange.stages ??= []).push(...stages)
      if (form !== 'GRPC') return undefined
      // Which model it is stands in the message.
      const named = modelAsked(exchange)
      return named instanceof Promise ? named.then(faultIn) : faultIn(named)
    }
  },
}

const faultIn = (named: string | Failure) => (typeof named === 'string' ? undefined : named)

const noStream = failure('unsupported_translation', 'Answers of this route are checked one by one, and those of a gRPC stream are not.')

function bySchema(check: SchemaCheck): Checking['check'] {
  return (headers, body) => {
    const part = partOf(headers, body)
    return part === undefined ? 'unreadable' : check(part.json)
  }
}

/** By what the variant that answered says of the model. */
function byModel(exchange: Exchange, form: Form, checks: BodyChecks, tenant: string): Checking['check'] {
  return async (headers: Readonly<FlatHeaders>, body) => {
    const { rule, variant } = exchange
    // A gRPC call that failed has no message.
    if (rule === undefined || variant === undefined || (form === 'GRPC' && body.length === 0)) return 'untold'
    const inference = await inferenceIn(form, headers, body, rule.responseMax)
    if ('code' in inference) return 'unreadable'
    return checkInference(subjectOf(exchange, rule, variant, undefined), 'outputs', inference, checks, tenant)
  }
}

function enforced({ exchange, wants, check, count }: Checking): Stage {
  const { rule, request: { method } } = exchange
  const settle = (verdict: Awaited<ReturnType<Checking['check']>>): Failure | undefined => {
    if (verdict === 'untold') {
      count('unchecked')
      return undefined
    }
    const refused = typeof verdict === 'object' && 'code' in verdict ? { ...untold, cause: verdict.cause ?? verdict.code } : answerFailure(verdict)
    count(refused === undefined ? 'passed' : 'refused')
    return refused
  }
  return whole({
    method,
    max: readableMax({ responseMax: rule?.responseMax ?? Number.POSITIVE_INFINITY }),
    wants,
    change(answer) {
      const verdict = check(answer.headers, answer.body)
      return verdict instanceof Promise ? verdict.then((settled) => settle(settled) ?? answer) : settle(verdict) ?? answer
    },
  })
}

const untold = failure('upstream_protocol', 'The backend does not say what the model gives.')

function eachEnforced({ count }: Checking, check: SchemaCheck): Stage {
  return eachEvent((status) => status >= 300 ? undefined : (json) => {
    const verdict = check(json)
    // An event is not held for another thread: the next ones are on their way.
    const refused = answerFailure(verdict instanceof Promise ? 'costly' : verdict)
    count(refused === undefined ? 'passed' : 'refused')
    return refused ?? json
  })
}

function eachReported(checking: Checking, check: SchemaCheck): Stage {
  return eachEvent((status, headers) => status >= 300 || !isPlain(valueOf(headers, 'content-encoding')) ? undefined : (json) => {
    const verdict = check(json)
    note(checking, verdict instanceof Promise ? 'untold' : verdict)
    return json
  }, 'watch')
}
