import type { FlatHeaders } from '../../pipeline/headers.ts'
import { valueOf } from '../../pipeline/headers.ts'
import { isPlain, unpacked } from '../../protocols/encodings.ts'
import { isGrpc } from '../../protocols/grpc.ts'
import { protocolOf, type Protocol } from '../../protocols/path.ts'
import { Findings, type Difference, type Labels } from './findings.ts'
import { onlyMessage } from '../../protocols/grpc_frames.ts'
import { tensorsOfGrpc } from './grpc.ts'
import { compareJson, ignoring, isRecord, type Ignore } from './json.ts'
import { inSlices, type Sliced } from '../../sliced.ts'
import { compareTensors, tensorsOf, type Tensors } from './tensors.ts'
import { compareTexts, textsOf, textsOfEvents } from './texts.ts'
import type { Tolerance } from './tolerance.ts'

/** One whole answer. `grpcStatus` of gRPC only, where it is known. */
export type Answered = Readonly<{ status: number; headers: Readonly<FlatHeaders>; body: Buffer; grpcStatus?: string | undefined }>

/** What counts as the same. */
export type Terms = Tolerance & Readonly<{ ignore: Ignore }>

/** `skipped`: nothing can be said, and why. Neither holds a value of the answers. */
export type Comparison =
  | Readonly<{ result: 'match' | 'mismatch'; differences: readonly Difference[]; count: number; labels?: Labels; similarity?: number }>
  | Readonly<{ result: 'skipped'; why: Skipped }>

export type Skipped = 'caller_failed' | 'too_large' | 'encoding' | 'unreadable'

/** JSON and texts that take longer than this to read are not compared. Bytes. */
const readableMax = 262_144
/** Of an answer, also when it is unpacked. Bytes. */
export const answerMax = 4 * 1_048_576

/** What a server of the OpenAI API says anew in each answer. */
const ofOpenAI = ['/id', '/created', '/model', '/system_fingerprint', '/service_tier', '/usage']

export function termsOf({ absolute, relative, ignore }: Tolerance & Readonly<{ ignore: readonly string[] }>, path: string): Terms {
  return { absolute, relative, ignore: ignoring(protocolOf(path) === 'OpenAI' ? [...ignore, ...ofOpenAI] : ignore) }
}

/**
 * What the caller got, and what the copy of the request brought. Never rejects.
 * @param spent told how long each stretch of the work took, in milliseconds
 */
export async function compareAnswers(
  path: string,
  caller: Answered,
  copy: Answered,
  terms: Terms,
  spent: (milliseconds: number) => void,
): Promise<Comparison> {
  const [one, other] = [classOf(caller), classOf(copy)]
  if (one === 'failed') return { result: 'skipped', why: 'caller_failed' }
  if (one !== other) return { result: 'mismatch', differences: [{ place: 'status', kind: 'status', count: 1 }], count: 1 }
  if (one !== 'ok') return { result: 'match', differences: [], count: 0 }
  const [a, b] = await Promise.all([unpackedOf(caller), unpackedOf(copy)])
  if (typeof a === 'string' || typeof b === 'string') return { result: 'skipped', why: typeof a === 'string' ? a : typeof b === 'string' ? b : 'encoding' }
  const findings = new Findings()
  try {
    const skipped = await inSlices(compareBodies(protocolOf(path), [{ ...caller, body: a }, { ...copy, body: b }], terms, findings), spent)
    if (skipped !== undefined) return { result: 'skipped', why: skipped }
  } catch {
    // Nested too deep, say: whatever cannot be compared says nothing.
    return { result: 'skipped', why: 'unreadable' }
  }
  const labels = findings.labels()
  const { count, similarity } = findings
  return {
    result: count === 0 ? 'match' : 'mismatch', differences: findings.differences(), count,
    ...(labels !== undefined && { labels }), ...(similarity !== undefined && { similarity }),
  }
}

/** `ok`, `failed` (the server's fault), or another class of statuses. gRPC says it at the end, and only in a word. */
function classOf({ status, headers, grpcStatus }: Answered): string {
  if (status >= 500) return 'failed'
  if (status < 200 || status > 299) return String(Math.floor(status / 100))
  if (!isGrpc(valueOf(headers, 'content-type'))) return 'ok'
  const told = grpcStatus ?? valueOf(headers, 'grpc-status') ?? '0'
  // INTERNAL, UNAVAILABLE, DATA_LOSS, UNKNOWN, DEADLINE_EXCEEDED: nobody knows what the right answer would have been.
  return told === '0' ? 'ok' : ['2', '4', '13', '14', '15'].includes(told) ? 'failed' : `grpc ${told}`
}

/** In another thread: zlib's own. */
async function unpackedOf({ headers, body }: Answered): Promise<Buffer | Skipped> {
  const encoding = valueOf(headers, 'content-encoding') ?? ''
  return isPlain(encoding) ? body : unpacked(body, encoding, answerMax)
}

type Pair<T> = readonly [T, T]

const sets = <T>([a, b]: Pair<T | undefined>): Pair<T> | undefined => (a === undefined || b === undefined ? undefined : [a, b])
const each = <T, R>([a, b]: Pair<T>, read: (one: T) => R): Pair<R> => [read(a), read(b)]

function* compareBodies(protocol: Protocol, answers: Pair<Answered>, terms: Terms, findings: Findings): Sliced<Skipped | undefined> {
  const types = each(answers, ({ headers }) => (valueOf(headers, 'content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '')
  const bodies = each(answers, ({ body }) => body)
  if (isGrpc(types[0]) && isGrpc(types[1])) return yield* compareGrpc(bodies, terms, findings)
  const lengths = each(answers, ({ headers }) => valueOf(headers, 'inference-header-content-length'))
  if (protocol === 'V2' && lengths.some((length) => length !== undefined)) {
    const split = sets([splitBinary(bodies[0], lengths[0]), splitBinary(bodies[1], lengths[1])])
    if (split === undefined) return compareBytes(bodies, findings)
    const parsed = yield* parseBoth(each(split, ([json]) => json))
    if (typeof parsed === 'string') return parsed
    const tensors = parsed && sets<Tensors>([tensorsOf(parsed[0], split[0][1]), tensorsOf(parsed[1], split[1][1])])
    if (tensors === undefined) return compareBytes(bodies, findings)
    yield* compareTensors(...tensors, terms, terms.ignore, findings)
    return undefined
  }
  if (types.every((type) => type === 'text/event-stream')) {
    if (bodies.some(({ length }) => length > readableMax)) return 'too_large'
    const texts = sets(each(bodies, (body) => textsOfEvents(body.toString())))
    if (texts === undefined) return 'unreadable'
    compareTexts(...texts, terms.relative, findings)
    return undefined
  }
  if (types[0] !== types[1]) {
    findings.add('content-type', 'type')
    return undefined
  }
  if (!types[0].includes('json') && types[0] !== '') return compareBytes(bodies, findings)
  const parsed = yield* parseBoth(bodies)
  if (typeof parsed === 'string') return parsed
  if (parsed === undefined) return compareBytes(bodies, findings)
  yield* compareValues(protocol, parsed, terms, findings)
  return undefined
}

function* compareValues(protocol: Protocol, values: Pair<unknown>, terms: Terms, findings: Findings): Sliced {
  if (protocol === 'V2' || protocol === 'OpenAI') {
    const texts = sets(each(values, textsOf))
    if (texts !== undefined) {
      compareTexts(...texts, terms.relative, findings)
      return
    }
  }
  if (protocol === 'V2' && values.some((value) => isRecord(value) && 'outputs' in value)) {
    const tensors = sets(each(values, (value) => tensorsOf(value, nothing)))
    if (tensors !== undefined) {
      yield* compareTensors(...tensors, terms, terms.ignore, findings)
      return
    }
  }
  yield* compareJson(...values, terms, terms.ignore, findings)
}

function* compareGrpc(bodies: Pair<Buffer>, terms: Terms, findings: Findings): Sliced<Skipped | undefined> {
  if (bodies[0].equals(bodies[1])) return undefined
  const tensors = sets(each(bodies, tensorsOfGrpc))
  if (tensors !== undefined) {
    yield* compareTensors(...tensors, terms, terms.ignore, findings)
    return undefined
  }
  // Compressed, or several messages: that they are written differently does not say that they differ.
  if (bodies.some((body) => onlyMessage(body) === undefined)) return 'unreadable'
  return compareBytes(bodies, findings)
}

function compareBytes([a, b]: Pair<Buffer>, findings: Findings): undefined {
  if (!a.equals(b)) findings.add('body', 'bytes')
}

/** In two goes. Undefined: one of them is no JSON. */
function* parseBoth(bodies: Pair<Buffer>): Sliced<Pair<unknown> | 'too_large' | undefined> {
  if (bodies.some(({ length }) => length > readableMax)) return 'too_large'
  const parsed: unknown[] = []
  for (const body of bodies) {
    try {
      parsed.push(JSON.parse(body.toString()))
    } catch {
      return undefined
    }
    yield
  }
  return [parsed[0], parsed[1]]
}

const nothing = Buffer.alloc(0)

/** The JSON and what comes after it (Triton's binary data extension); without the header, all is JSON. */
function splitBinary(body: Buffer, length: string | undefined): Pair<Buffer> | undefined {
  if (length === undefined) return [body, nothing]
  const end = Number(length)
  return /^\d{1,12}$/.test(length) && end > 0 && end <= body.length ? [body.subarray(0, end), body.subarray(end)] : undefined
}
