import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { Provider, type Configuration } from 'oidc-provider'
import { KeyObject } from 'node:crypto'
import type { Signer } from './sign.ts'

/** A real identity provider on this machine, that can be taken away and given back. */
export type Identity = Readonly<{
  issuer: string
  /** Requests for each path. */
  seen: Map<string, number>
  /** Keys in place of those before, the first of them the one that signs. */
  rotate(...signers: readonly Signer[]): void
  state: (next: 'up' | 'reset' | 'silent') => void
  /** A token for the client, which names it as its subject. */
  token(format: 'jwt' | 'opaque'): Promise<string>
  revoke(token: string): Promise<void>
}>

export const client = { client_id: 'gateway', client_secret: 'p:ss%w0rd & more' }

export async function identityProvider(t: TestContext, first: Signer): Promise<Identity> {
  let serve: RequestListener = () => {}
  let state = 'up'
  const seen = new Map<string, number>()
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    seen.set(path, (seen.get(path) ?? 0) + 1)
    if (state === 'reset') request.socket.destroy()
    else if (state === 'up') serve(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const rotate = (...signers: readonly Signer[]) => {
    const listener = new Provider(issuer, configuration(signers)).callback()
    serve = (request, response) => void listener(request, response)
  }
  rotate(first)

  async function post(path: string, form: Readonly<Record<string, string>>): Promise<Record<string, unknown>> {
    const answer = await fetch(`${issuer}${path}`, { method: 'POST', body: new URLSearchParams({ ...client, ...form }) })
    const text = await answer.text()
    if (!answer.ok) throw new Error(text)
    return text === '' ? {} : JSON.parse(text) as Record<string, unknown>
  }
  return {
    issuer, seen, rotate,
    state: (next) => void (state = next),
    async token(format) {
      const { access_token: made } = await post('/token', { grant_type: 'client_credentials', resource: `urn:models:${format}`, scope: 'infer' })
      return String(made)
    },
    revoke: async (token) => void await post('/token/revocation', { token }),
  }
}

function configuration(signers: readonly Signer[]): Configuration {
  return {
    jwks: { keys: signers.map(privateJwk) },
    clients: [{ ...client, grant_types: ['client_credentials'], redirect_uris: [], response_types: [], token_endpoint_auth_method: 'client_secret_post' }, {
      ...client, client_id: 'resource server', grant_types: [], redirect_uris: [], response_types: [],
    }],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'infer', audience: resource, accessTokenTTL: 36_000,
          ...(resource.endsWith('jwt') ? { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } } : { accessTokenFormat: 'opaque' }),
        }),
      },
    },
  }
}

function privateJwk({ key, kid, alg }: Signer) {
  if (!(key instanceof KeyObject)) throw new Error('a provider signs with a private key')
  const { kty = '', ...members } = key.export({ format: 'jwk' })
  return { ...members, kty, kid, alg, use: 'sig' }
}
