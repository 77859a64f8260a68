import * as v from 'valibot'
import type { ConfigMap, Secret } from './snapshot.ts'

type Meta = Secret['metadata']

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

// The messages are our own: those of the library quote what they found, and here that is a secret.
const plain = v.record(v.string(), v.string('must be text (quote it)'), 'is no mapping')
const base64 = v.record(
  v.string(),
  v.pipe(
    v.string('must be text (quote it)'),
    v.transform((value) => value.replaceAll(/\s/g, '')),
    v.regex(BASE64, 'is not base64; plain text goes under stringData'),
  ),
  'is no mapping',
)

const encode = (text: string) => Buffer.from(text).toString('base64')

const entries = (record: Readonly<Record<string, string>> = {}) => Object.entries(record)

/** As an API server takes it in: `stringData` is plain, and wins over `data`. */
export function secretOf(metadata: v.GenericSchema<unknown, Meta>): v.GenericSchema<unknown, Secret> {
  return v.pipe(
    v.object({
      metadata,
      type: v.exactOptional(v.string()),
      data: v.exactOptional(base64),
      stringData: v.exactOptional(plain),
    }),
    v.transform(({ metadata, type, data, stringData }) => ({
      metadata,
      ...(type !== undefined && { type }),
      data: new Map([...entries(data), ...entries(stringData).map(([key, text]) => [key, encode(text)] as const)]),
    })),
  )
}

export function configMapOf(metadata: v.GenericSchema<unknown, Meta>): v.GenericSchema<unknown, ConfigMap> {
  return v.pipe(
    v.object({ metadata, data: v.exactOptional(plain), binaryData: v.exactOptional(base64) }),
    v.transform(({ metadata, data, binaryData }) => ({
      metadata,
      data: new Map([...entries(binaryData), ...entries(data).map(([key, text]) => [key, encode(text)] as const)]),
    })),
  )
}
