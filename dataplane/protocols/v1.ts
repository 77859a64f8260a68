import { decodeElement, encodeElement, type NamedModel } from './model.ts'

/**
 * KServe V1 and TensorFlow Serving: `/v1/models/{name}[:verb]`, TensorFlow Serving also with `/versions/{version}`
 * before the verb. Only the known verbs end a name: `mistral:latest` is one.
 */
const form = /^\/v1\/models\/(?<name>[^/]+?)(?:\/versions\/(?<version>[^/:]+))?(?<rest>(?::(?:predict|explain|classify|regress))?(?:\/.*)?)$/

export function isV1(path: string): boolean {
  return path.startsWith('/v1/models/')
}

export function modelOfV1(path: string): NamedModel | undefined {
  const parts = form.exec(path)?.groups
  const name = decodeElement(parts?.['name'] ?? '')
  if (!name) return undefined
  const encoded = parts?.['version']
  const version = encoded === undefined ? undefined : decodeElement(encoded)
  return { protocol: 'V1', name, ...(version === undefined ? {} : { version }), rest: parts?.['rest'] ?? '' }
}

export function pathOfV1(name: string, version: string | undefined, rest: string): string {
  return `/v1/models/${encodeElement(name)}${version === undefined ? '' : `/versions/${encodeElement(version)}`}${rest}`
}
