import { setImmediate as breathe } from 'node:timers/promises'
import { foresee } from './explain/explain.ts'
import type { Failure } from './pipeline/errors.ts'
import type { Exchange } from './pipeline/exchange.ts'
import { anonymous, type Verdict } from './pipeline/principal.ts'
import type { BuiltRule } from './pipeline/rule.ts'
import { isPassing, samplesIn } from './portal/offers.ts'
import type { Table } from './runtime.ts'

/**
 * The lists of models that clients ask for: `GET /v1/models` (OpenAI) and `/v2/repository/index` (Triton). Where no rule
 * serves them, the gateway answers from its table, and names to each caller what they may use.
 */
export const listPaths: readonly string[] = ['/v1/models', '/openai/v1/models', '/v2/repository/index']

type Listed = Readonly<{ name: string; version: string | undefined; owner: string; created: number }>

/** As many as are tried for one list; each costs about as much as a request does up to its backend. */
const triedMax = 2000
/** Tried in one go, before others have their turn. */
const stride = 20

/** The list as JSON. Undefined: no route of this host names a model. */
export async function listModels(exchange: Exchange, table: Table): Promise<string | Failure | undefined> {
  const found = new Map<string, Listed>()
  let refused: Failure | undefined
  let tried = 0
  for (const { route, rules } of table.routes()) {
    if (!hostHolds(route.hostnames, exchange.host)) continue
    for (const [at, rule] of route.rules.entries()) {
      const samples = samplesIn(rule).filter(({ model }) => model !== '')
      const built = rules[at]
      if (samples.length === 0 || built === undefined) continue
      const caller = await callerOf(exchange, built)
      if ('code' in caller) {
        refused ??= caller
        continue
      }
      for (const { model, version, method, path, headers } of samples) {
        if (++tried > triedMax) break
        if (tried % stride === 0) await breathe()
        const body = JSON.stringify({ model })
        const foreseen = await foresee(table, {
          method, url: `http://${exchange.received.authority}${path}`, headers: { 'content-type': 'application/json', ...Object.fromEntries(headers) },
          ...(method === 'POST' && { body }),
        }, caller)
        if (foreseen.route !== route.id || foreseen.rule !== rule.name || !isPassing(foreseen.code)) continue
        const created = Math.floor(Date.parse(route.created) / 1000) || 0
        found.set(`${model} ${version ?? ''}`, { name: model, version, owner: route.tenant, created })
      }
    }
  }
  if (tried === 0 && refused === undefined) return undefined
  // Whoever might see something with a credential is asked for one.
  if (found.size === 0 && refused !== undefined) return refused
  return written(exchange.path, [...found.values()].toSorted((a, b) => compare(a.name, b.name) || compare(a.version ?? '', b.version ?? '')))
}

const compare = (a: string, b: string) => (a === b ? 0 : a < b ? -1 : 1)

function callerOf(exchange: Exchange, { authenticate }: BuiltRule): Verdict | Promise<Verdict> {
  return authenticate === undefined ? anonymous : exchange.authenticated(authenticate)
}

function hostHolds(hostnames: readonly string[], host: string): boolean {
  return hostnames.length === 0 || hostnames.some((name) => (name.startsWith('*.') ? host.endsWith(name.slice(1)) : name === host))
}

function written(path: string, models: readonly Listed[]): string {
  return JSON.stringify(path.endsWith('/models')
    ? { object: 'list', data: [...new Map(models.map((model) => [model.name, model])).values()].map(({ name, owner, created }) => (
      { id: name, object: 'model', created, owned_by: owner })) }
    : models.map(({ name, version }) => ({ name, ...(version !== undefined && { version }), state: 'READY' })))
}
