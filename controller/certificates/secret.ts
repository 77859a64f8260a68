import { isObject, isRecord, pathOf, type Answer, type Api, type RawObject } from '../kubernetes/api.ts'
import { SECRETS } from '../kubernetes/kinds.ts'
import { troubleOf } from '../kubernetes/trouble.ts'

/** What a Secret that the controller keeps holds, decoded. */
export type SecretData = Readonly<{ [field in (typeof FIELDS)[number]]?: string }>

/** Without `namespace`, the controller's own. */
export type SecretPlace = Readonly<{ api: Api; name: string; namespace?: string | undefined; signal: AbortSignal }>

type Verdict<T> = Readonly<{ value: T; write?: SecretData }> | Readonly<{ problem: string }>

const FIELDS = ['tls.crt', 'tls.key', 'ca.crt', 'pepper'] as const
/** Milliseconds for one answer: these calls wait for nothing at the server. */
const DEADLINE = 10_000
/** Two replicas agree at the second try; more than a few of them mean something else is at work. */
const TRIES = 5

/**
 * Reads a Secret of the controller's and writes what `judge` says belongs there. Whoever writes in
 * between wins: what is there then is read and judged anew.
 */
export async function keepSecret<T>(
  { api, name, namespace = api.namespace, signal }: SecretPlace,
  judge: (data: SecretData | undefined) => Promise<Verdict<T>>,
): Promise<Readonly<{ value: T; wrote?: 'created' | 'renewed' }> | Readonly<{ problem: string; denied: boolean }>> {
  const fault = (why: string, denied = false) => ({ problem: `Secret ${namespace}/${name}: ${why}`, denied })
  const refused = (answer: Answer) => fault(troubleOf(answer).message, answer.status === 403)
  const path = pathOf(SECRETS, namespace, name)
  for (let tries = 0; tries < TRIES; tries++) {
    const found = await api.call({ path, signal, deadline: DEADLINE })
    if (found.status !== 404 && found.status !== 200) return refused(found)
    const old = found.status === 200 ? found.body : undefined
    if (old !== undefined && !isObject(old)) return fault('the answer is no object')
    const verdict = await judge(old && decode(old))
    if ('problem' in verdict) return fault(verdict.problem)
    if (verdict.write === undefined) return { value: verdict.value }
    const write =
      old === undefined
        ? ({ method: 'POST', path: pathOf(SECRETS, namespace), body: fresh(name, verdict.write) } as const)
        : ({ method: 'PUT', path, body: changed(old, verdict.write) } as const)
    const answer = await api.call({ ...write, signal, deadline: DEADLINE })
    if (answer.status === 200 || answer.status === 201) {
      return { value: verdict.value, wrote: old === undefined ? 'created' : 'renewed' }
    }
    // 409: another replica was first. 404: deleted since it was read.
    if (answer.status !== 409 && (old === undefined || answer.status !== 404)) return refused(answer)
  }
  return fault('somebody else keeps changing it')
}

function decode(object: RawObject): SecretData {
  const data = isRecord(object['data']) ? object['data'] : {}
  return Object.fromEntries(
    FIELDS.flatMap((field) => {
      const value = data[field]
      return typeof value === 'string' ? [[field, Buffer.from(value, 'base64').toString()]] : []
    }),
  )
}

function encode(data: SecretData): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(data).map(([field, text]) => [field, Buffer.from(text).toString('base64')]))
}

function fresh(name: string, data: SecretData): object {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, labels: { 'app.kubernetes.io/managed-by': 'modelroute-controller' } },
    type: 'tls.crt' in data ? 'kubernetes.io/tls' : 'Opaque',
    data: encode(data),
  }
}

/** With the version that was read, so that a write in between is a conflict; what else it holds stays. */
function changed(old: RawObject, data: SecretData): object {
  return { ...old, data: { ...(isRecord(old['data']) ? old['data'] : {}), ...encode(data) } }
}
