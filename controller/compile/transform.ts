import type { Rule } from '../../table/route.ts'
import { compileValue } from '../../table/values.ts'
import type { Problem } from '../sources/snapshot.ts'
import { invalid, quote } from './problems.ts'
import type { TransformSpec } from './spec.ts'

type Transform = NonNullable<Rule['transform']>
type Spec = NonNullable<TransformSpec['request']> & Partial<NonNullable<TransformSpec['response']>>

/** What frames a message, ends at the next hop, or is the gateway's own to say. */
const reserved = new Set([
  'connection', 'content-encoding', 'content-length', 'expect', 'forwarded', 'host', 'http2-settings', 'inference-header-content-length', 'keep-alive',
  'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'range', 'if-range', 'accept-encoding', 'te', 'trailer', 'transfer-encoding', 'upgrade',
  'x-real-ip', 'x-request-id',
])
const reservedPrefixes = ['x-modelroute-', 'x-forwarded-', 'grpc-', ':']

/** How requests and answers are changed. @param known whether anybody is asked who calls */
export function compileTransform(spec: TransformSpec | undefined, place: string, known: boolean, problems: Problem[]): Rule['transform'] {
  if (spec === undefined) return undefined
  const direction = (side: Spec, here: string, answer: boolean): NonNullable<Transform['response']> => ({
    ...(side.headers && { headers: compileHeaders(side.headers, `${here}.headers`, problems) }),
    ...(side.body && { body: compileBody(side.body, `${here}.body`, { answer, known, problems }) }),
    ...(side.enrich && { enrich: compileEnrichment(side.enrich, `${here}.enrich`, problems) }),
  })
  return {
    ...(spec.request && { request: direction(spec.request, `${place}.request`, false) }),
    ...(spec.response && { response: direction(spec.response, `${place}.response`, true) }),
  }
}

function compileHeaders({ remove = [], set = [], add = [] }: NonNullable<Spec['headers']>, place: string, problems: Problem[]) {
  const check = (name: string, here: string, value = ''): string => {
    const lower = name.toLowerCase()
    const dashed = lower.replaceAll('_', '-')
    if (reserved.has(dashed) || reservedPrefixes.some((prefix) => dashed.startsWith(prefix))) {
      problems.push(invalid(here, `${quote(name)} cannot be changed: it frames the message, ends at the gateway, or is its own to say`))
    } else if (lower === 'content-type' && /^\s*application\/grpc/i.test(value)) {
      problems.push(invalid(here, 'nothing becomes gRPC by its content type'))
    }
    return lower
  }
  const valued = (list: readonly Readonly<{ name: string; value: string }>[], of: string) =>
    list.map(({ name, value }, at) => ({ name: check(name, `${place}.${of}[${at}].name`, value), value }))
  return { remove: remove.map((name, at) => check(name, `${place}.remove[${at}]`)), set: valued(set, 'set'), add: valued(add, 'add') }
}

function compileBody(
  { remove = [], set = [] }: NonNullable<Spec['body']>,
  place: string,
  { answer, known, problems }: Readonly<{ answer: boolean; known: boolean; problems: Problem[] }>,
) {
  remove.forEach((pointer, at) => {
    if (pointer === '') problems.push(invalid(`${place}.remove[${at}]`, 'is the whole body, which cannot be taken away'))
  })
  set.forEach(({ pointer, value }, at) => {
    const here = `${place}.set[${at}]`
    if (pointer.split('/').includes('*')) problems.push(invalid(`${here}.pointer`, 'a value is written to one place; * goes with remove'))
    const around = set.find((other) => other.pointer !== pointer && pointer.startsWith(`${other.pointer}/`))
    if (around) problems.push(invalid(`${here}.pointer`, `is within ${quote(around.pointer)}, which is set as a whole`))
    const compiled = compileValue(value, answer)
    if ('fault' in compiled) problems.push(invalid(`${here}.value`, compiled.fault))
    else if (compiled.readsPrincipal && !known) problems.push(invalid(`${here}.value`, 'asks who calls, and without auth nobody knows; add auth to the rule or the route'))
  })
  return { remove: [...remove], set: set.map(({ pointer, value }) => ({ pointer, value })) }
}

function compileEnrichment({ pointer, confidence }: NonNullable<Spec['enrich']>, place: string, problems: Problem[]) {
  const low = Number(confidence?.low)
  if (confidence && !(low >= 0)) problems.push(invalid(`${place}.confidence.low`, `${quote(confidence.low)} is no decimal number such as "0.6"`))
  for (const [at, text] of [['pointer', pointer], ['confidence.pointer', confidence?.pointer]] as const) {
    if (text?.split('/').includes('*')) problems.push(invalid(`${place}.${at}`, 'names one place; * goes with remove'))
  }
  return { ...(pointer !== undefined && { pointer }), ...(confidence && { confidence: { pointer: confidence.pointer, low: low >= 0 ? low : 0 } }) }
}
