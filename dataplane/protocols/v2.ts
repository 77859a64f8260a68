import { decodeElement, encodeElement, type NamedModel } from './model.ts'

/** Open Inference Protocol (KServe V2) over REST: `/v2/models/{name}[/versions/{version}][/infer|/ready|…]`. */
const form = /^\/v2\/models\/(?<name>[^/]+)(?:\/versions\/(?<version>[^/]+))?(?<rest>(?:\/.*)?)$/

export function isV2(path: string): boolean {
  return path === '/v2' || path.startsWith('/v2/')
}

export function modelOfV2(path: string): NamedModel | undefined {
  const parts = form.exec(path)?.groups
  const name = decodeElement(parts?.['name'] ?? '')
  if (!name) return undefined
  const encoded = parts?.['version']
  const version = encoded === undefined ? undefined : decodeElement(encoded)
  return { protocol: 'V2', name, ...(version === undefined ? {} : { version }), rest: parts?.['rest'] ?? '' }
}

export function pathOfV2(name: string, version: string | undefined, rest: string): string {
  return `/v2/models/${encodeElement(name)}${version === undefined ? '' : `/versions/${encodeElement(version)}`}${rest}`
}
