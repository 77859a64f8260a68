import * as v from 'valibot'
import type { RawObject } from '../kubernetes/api.ts'
import { equal } from '../kubernetes/equal.ts'
import type { ConfigMap, Secret } from './snapshot.ts'

// The messages are our own: those of the library quote what they found, and here that is a secret.
const values = v.nullish(v.record(v.string(), v.string('a value is no text'), 'is no mapping'), {})
const texts = v.exactOptional(v.record(v.string(), v.string()))

const Base = v.object({
  metadata: v.object({ name: v.string(), namespace: v.string(), labels: texts, annotations: texts }),
  type: v.exactOptional(v.string()),
  data: values,
  binaryData: values,
})

/** Of these nothing can be meant for a gateway, and a namespace may hold megabytes of them. */
const USELESS = new Set(['helm.sh/release.v1', 'kubernetes.io/dockerconfigjson', 'kubernetes.io/dockercfg'])

const OWN = 'modelroute.io/'

function metaOf({ name, namespace, labels, annotations = {} }: v.InferOutput<typeof Base>['metadata']): Secret['metadata'] {
  const own = Object.entries(annotations).filter(([key]) => key.startsWith(OWN))
  return { name, namespace, ...(labels && { labels }), ...(own.length > 0 && { annotations: Object.fromEntries(own) }) }
}

type Keep<T> = (object: RawObject, previous: T | undefined) => T

function keep<T extends Secret | ConfigMap>(read: (base: v.InferOutput<typeof Base>) => T): Keep<T> {
  return (object, previous) => {
    const next = read(v.parse(Base, object))
    return previous !== undefined && same(previous, next) ? previous : next
  }
}

function same(a: Secret | ConfigMap, b: Secret | ConfigMap): boolean {
  const [first, second] = [Object.fromEntries(a.data), Object.fromEntries(b.data)]
  return equal({ ...a, data: first }, { ...b, data: second })
}

export const keepSecret: Keep<Secret> = keep<Secret>(({ metadata, type = 'Opaque', data }) => ({
  metadata: metaOf(metadata),
  type,
  data: USELESS.has(type) ? new Map() : new Map(Object.entries(data)),
}))

export const keepConfigMap: Keep<ConfigMap> = keep<ConfigMap>(({ metadata, data, binaryData }) => ({
  metadata: metaOf(metadata),
  data: new Map([
    ...Object.entries(binaryData),
    ...Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')] as const),
  ]),
}))
