import { isApiKey, type KeyStore } from '../sources/keys.ts'
import { isRecord, type Api } from './api.ts'
import { answered } from './trouble.ts'

/** API keys in a cluster, with the rights of whoever asks. */
export function clusterKeys(api: Api): KeyStore {
  const secrets = (namespace: string, name?: string) =>
    `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets${name === undefined ? '' : `/${encodeURIComponent(name)}`}`
  return {
    async list(namespace) {
      const query = { labelSelector: 'modelroute.io/credential=api-key' }
      const { body } = answered(await api.call({ path: secrets(namespace), query }))
      const items: unknown = isRecord(body) ? body['items'] : undefined
      return Array.isArray(items) ? items.filter(isApiKey) : []
    },
    async create(secret) {
      const namespace = secret.metadata.namespace ?? api.namespace
      answered(await api.call({ method: 'POST', path: secrets(namespace), body: secret }))
    },
    async expire(name, namespace, at) {
      const body = { metadata: { annotations: { 'modelroute.io/expires': at } } }
      answered(await api.call({ method: 'PATCH', path: secrets(namespace, name), body, contentType: 'application/merge-patch+json' }))
    },
    async remove(name, namespace) {
      answered(await api.call({ method: 'DELETE', path: secrets(namespace, name) }))
    },
  }
}
