import type { Api } from '../api.ts'

type Named = Readonly<{ apiVersion: string, kind: string, metadata: Readonly<{ name: string, namespace?: string }> }>
type Resource = Readonly<{ name: string, kind: string, namespaced: boolean }>

/**
 * What the API server says against objects that are applied to it, one line each, without keeping them: their schemas,
 * its validation and its admission. A field that it does not know is an error.
 */
export async function refusals(api: Api, objects: readonly Named[]): Promise<readonly string[]> {
  const resources = new Map<string, Promise<Resource[]>>()
  const known = (root: string) => {
    const found = resources.get(root) ?? api.get<{ resources: Resource[] }>(root).then((list) => list.resources)
    resources.set(root, found)
    return found
  }
  const said = await Promise.all(objects.map(async (object) => {
    const { apiVersion, kind, metadata: { name, namespace } } = object
    const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
    const resource = (await known(root)).find((one) => one.kind === kind && !one.name.includes('/'))
    if (resource === undefined) return `${apiVersion} ${kind} ${name}: there is no such kind`
    const where = resource.namespaced ? `namespaces/${namespace ?? 'gateway'}/` : ''
    const query = '?dryRun=All&fieldManager=chart&force=true&fieldValidation=Strict'
    return await api.patch(`${root}/${where}${resource.name}/${name}${query}`, object, 'apply').then(() => undefined, (error: Error) => error.message)
  }))
  return said.filter((one) => one !== undefined)
}
