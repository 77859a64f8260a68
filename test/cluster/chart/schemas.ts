import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Api } from '../api.ts'

type Schema = { [key: string]: unknown }
type Gvk = Readonly<{ group: string, version: string, kind: string }>

/**
 * Schemas for kubeconform of every kind that the API server knows, made of what it publishes itself (OpenAPI v3): they are
 * of its own version, have the definitions of others too, and nothing is fetched. A field that a schema does not name is
 * refused, which OpenAPI leaves open.
 *
 * @returns the template for kubeconform's -schema-location
 */
export async function writeSchemas(api: Api, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true })
  const { paths } = await read<{ paths: Record<string, { serverRelativeURL: string }> }>(api, '/openapi/v3')
  const versions = Object.entries(paths).filter(([path]) => /^apis?\/(?:[^/]+\/)?v[0-9][^/]*$/.test(path))
  await Promise.all(versions.map(async ([, { serverRelativeURL }]) => {
    const { components } = await read<{ components?: { schemas?: Record<string, Schema> } }>(api, serverRelativeURL)
    const schemas = components?.schemas ?? {}
    for (const [name, schema] of Object.entries(schemas)) {
      const kinds = schema['x-kubernetes-group-version-kind'] as Gvk[] | undefined
      const [gvk] = kinds ?? []
      // Options of requests have a kind for every group.
      if (gvk === undefined || kinds?.length !== 1) continue
      // What has no group kubeconform calls by its version twice.
      writeFileSync(join(folder, `${gvk.kind.toLowerCase()}-${gvk.group || gvk.version}-${gvk.version}.json`), JSON.stringify({
        $ref: `#/components/schemas/${name}`, components: { schemas: closure(name, schemas) },
      }))
    }
  }))
  return join(folder, '{{ .ResourceKind }}-{{ .Group }}-{{ .ResourceAPIVersion }}.json')
}

/** The index of what is published is JSON that is not called so. */
async function read<T>(api: Api, path: string): Promise<T> {
  const answer = await api.get<T | string>(path)
  return typeof answer === 'string' ? JSON.parse(answer) as T : answer
}

/** The schema and those that it leads to, each closed. */
function closure(root: string, schemas: Readonly<Record<string, Schema>>): Record<string, Schema> {
  const found: Record<string, Schema> = {}
  const pending = [root]
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const schema = schemas[name]
    if (schema === undefined || Object.hasOwn(found, name)) continue
    found[name] = closed(schema, (ref) => pending.push(ref)) as Schema
  }
  return found
}

function closed(node: unknown, refer: (name: string) => void): unknown {
  if (Array.isArray(node)) return node.map((item) => closed(item, refer))
  if (typeof node !== 'object' || node === null) return node
  const schema = node as Schema
  if (typeof schema.$ref === 'string') refer(schema.$ref.slice('#/components/schemas/'.length))
  const copy = Object.fromEntries(Object.entries(schema).filter(([key]) => key !== 'description').map(([key, value]) => {
    // Names of fields are no keywords.
    if (key !== 'properties') return [key, closed(value, refer)]
    return [key, Object.fromEntries(Object.entries(value as Schema).map(([name, field]) => [name, closed(field, refer)]))]
  }))
  const open = schema['additionalProperties'] !== undefined || schema['x-kubernetes-preserve-unknown-fields'] === true
  return schema['properties'] === undefined || open ? copy : { ...copy, additionalProperties: false }
}
